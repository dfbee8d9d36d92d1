"""What a run tells while it trains: JSON lines and TensorBoard in its folder, a progress bar on the terminal."""

import json
from pathlib import Path
from types import TracebackType

from rich.console import Console
from torch.utils.tensorboard import SummaryWriter

from clinimm.progress import progress_bar


class Tracker:
    """A context in which epochs are told. Files are written anew: a resumed run tells its earlier epochs again."""

    def __init__(self, folder: Path, epochs: int, console: Console | None, label: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.lines = (folder / "metrics.jsonl").open("w", encoding="utf-8")
        for old in folder.glob("tensorboard/events.*"):
            old.unlink()
        self.board = SummaryWriter(str(folder / "tensorboard"))
        self.progress = progress_bar(console)
        self.task = self.progress.add_task(label, total=epochs, note="")

    def epoch(self, figures: dict[str, float]) -> None:
        """Tells the figures of one epoch."""
        self.lines.write(json.dumps(figures) + "\n")
        self.lines.flush()
        for name, value in figures.items():
            self.board.add_scalar(name, value, int(figures["epoch"]))
        note = f"val loss {figures['val_loss']:.3f}, AUROC over masks {figures['val_auroc_over_masks']:.3f}"
        self.progress.update(self.task, advance=1, note=note)

    def __enter__(self) -> "Tracker":
        self.progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.progress.stop()
        self.board.close()
        self.lines.close()
