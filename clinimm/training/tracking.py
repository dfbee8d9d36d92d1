"""What a run tells while it trains: JSON lines and TensorBoard in its folder, a progress bar on the terminal."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType

from rich.console import Console
from torch.utils.tensorboard import SummaryWriter

from clinimm.progress import progress_bar
from clinimm.training.ledger import Ledger


def masks_note(figures: Mapping[str, float]) -> str:
    """A diagnosis model's epoch in a few words."""
    return f"val loss {figures['val_loss']:.3f}, AUROC over masks {figures['val_auroc_over_masks']:.3f}"


class Tracker:
    """A context in which epochs are told; without a folder, none is. Files are written anew: a resumed run tells its
    earlier epochs again. `note` puts an epoch's figures in a few words for the bar; `ledger`, if there is one, hears of
    every epoch too."""

    def __init__(
        self,
        folder: Path | None,
        epochs: int,
        console: Console | None,
        label: str,
        note: Callable[[Mapping[str, float]], str] = masks_note,
        ledger: Ledger | None = None,
    ) -> None:
        self.note, self.ledger = note, ledger
        self.files = None if folder is None else _Files(folder)
        self.progress = progress_bar(console)
        self.task = self.progress.add_task(label, total=epochs, note="")

    def epoch(self, figures: dict[str, float]) -> None:
        """Tells the figures of one epoch."""
        if self.files is not None:
            self.files.write(figures)
        if self.ledger is not None:
            self.ledger.epoch(figures)
        self.progress.update(self.task, advance=1, note=self.note(figures))

    def __enter__(self) -> "Tracker":
        self.progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.progress.stop()
        if self.files is not None:
            self.files.close()


class _Files:
    """metrics.jsonl and tensorboard/ in a run's folder."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        for old in folder.glob("tensorboard/events.*"):
            old.unlink()
        self.lines = (folder / "metrics.jsonl").open("w", encoding="utf-8")
        self.board = SummaryWriter(str(folder / "tensorboard"))

    def write(self, figures: dict[str, float]) -> None:
        self.lines.write(json.dumps(figures) + "\n")
        self.lines.flush()
        for name, value in figures.items():
            self.board.add_scalar(name, value, int(figures["epoch"]))

    def close(self) -> None:
        self.board.close()
        self.lines.close()
