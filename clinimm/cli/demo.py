"""`clinimm demo`: the whole of what clinimm is, on a cohort that it makes itself."""

import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from clinimm.cli.arguments import progress, shipped_config, show
from clinimm.errors import ConfigError

if TYPE_CHECKING:
    from clinimm.cli.served import Sent
    from clinimm.types import Case

CASES = 600


@dataclass(frozen=True)
class Answered:
    title: str
    case_id: str
    result: dict[str, Any]


def demo(
    out: Annotated[Path, typer.Option(help="Folder for the cohort, the model, the service's data and the report.")] = (
        Path("demo")
    ),
    cases: Annotated[int, typer.Option(help="Size of the cohort.", min=60)] = CASES,
    seed: Annotated[int, typer.Option(help="The same seed gives the same cohort.")] = 0,
) -> None:
    """Write a cohort with planted truth, train on it, serve the model, post cases, and explain one."""
    from clinimm.cli.served import serving

    _clear(out)
    _heading(1, f"writing {cases} synthetic cases: films, notes and laboratory values")
    cohort = _cohort(out / "cohort", cases, seed)
    _heading(2, "training the quickstart model, judged on patients it has not seen")
    artifact, test = _train(cohort, out / "run")
    _heading(3, "starting the service on loopback and posting cases over HTTP")
    with serving(artifact, out / "service") as client:
        answered = _post_all(client, demo_cases(test))
        _heading(4, "what the service answered")
        show(_table(answered), *_reasons(answered))
        _heading(5, "why: the attribution report of the complete case")
        page = _write_report(client, answered[0], out)
    home = _commands()
    show(
        f"The report: {page} (open it in a browser)",
        "",
        "To go on:",
        f"  {home}clinimm-service serve --artifact {artifact} --allow-unpromoted --data {out / 'service'}",
        f"  {home}clinimm evaluate {artifact} {cohort / 'manifest.csv'} --opponents",
        f"  {home}clinimm train quickstart.toml --data {cohort} --out runs/mine --set model.fusion=evidential",
        f"  {home}clinimm train YOUR.toml --data YOUR_FOLDER",
    )


def _commands() -> str:
    """What to put before our commands so that a shell here finds them."""
    if shutil.which("clinimm"):
        return ""
    folder = Path(sys.executable).parent
    return f"{folder.relative_to(Path.cwd()) if folder.is_relative_to(Path.cwd()) else folder}/"


def _clear(out: Path) -> None:
    """Takes away what an earlier demo left. Raises ConfigError for a folder that holds anything else."""
    if out.is_dir() and any(out.iterdir()) and not (out / "cohort" / "evidence.json").is_file():
        raise ConfigError("is not empty, and holds no earlier demo", where=str(out), mend="give an empty folder")
    for part in ("run", "service"):
        shutil.rmtree(out / part, ignore_errors=True)


def _heading(step: int, what: str) -> None:
    show("", f"[{step}/5] {what}")


def _cohort(folder: Path, cases: int, seed: int) -> Path:
    from clinimm.data.synthetic import write_cohort

    with progress("write") as advance:
        write_cohort(folder, n=cases, seed=seed, progress=advance)
    show(f"{folder / 'manifest.csv'}, and the planted truth in evidence.json beside it")
    return folder


def _train(cohort: Path, folder: Path) -> tuple[Path, "Sequence[Case]"]:
    """The artifact, and the cases it was judged on."""
    from rich.console import Console

    from clinimm.config import load
    from clinimm.data.cohort import read_cohort
    from clinimm.evaluation.render import subsets_grid
    from clinimm.training.folds import split
    from clinimm.training.run import train

    config = load(shipped_config("quickstart.toml"))
    splits = split(config, read_cohort(config, cohort))
    trained = train(config, splits, folder, console=Console(stderr=True))
    show(*(subsets_grid(target, metrics=("auroc", "auprc", "ece")).rich() for target in trained.evaluation.targets))
    show(f"the model: {trained.directory}, its card: {trained.directory / 'card.md'}")
    return trained.directory, splits.test


def demo_cases(test: "Sequence[Case]") -> list["Sent"]:
    """A complete case; the same without labs; its note alone; another with a damaged film; one with nothing to use."""
    from clinimm.cli.served import Sent
    from clinimm.types import ImageFile

    def picture_of(case: "Case") -> bytes:
        film = case.inputs["cxr"]
        if not isinstance(film, ImageFile):
            raise TypeError("the quickstart's cxr is an image")
        return film.paths[0].read_bytes()

    chosen = next(case for case in test if len(case.inputs) == 3 and any(case.targets.values()))
    # Other bytes under the same UID would be refused, whole or not: so the damaged film is another's.
    other = next(case for case in test if len(case.inputs) == 3 and case.patient_id != chosen.patient_id)
    picture, whole, damaged = picture_of(chosen), _body(chosen), picture_of(other)
    note_alone = {key: value for key, value in whole.items() if key != "labs"}
    nothing = {key: value for key, value in note_alone.items() if key != "note"}
    return [
        Sent("complete", whole, {"cxr": picture}),
        Sent("without labs", note_alone, {"cxr": picture}),
        Sent("note alone", note_alone, {}),
        Sent("damaged film", _body(other), {"cxr": damaged[: len(damaged) // 2]}),
        Sent("nothing usable", nothing, {"cxr": b"not a film" * 100}),
    ]


def _body(case: "Case") -> dict[str, Any]:
    """The JSON part of a post. The synthetic cohort's times have no zone: they are said to be UTC."""
    from clinimm.types import Measurements, Note

    note, labs = case.inputs["note"], case.inputs["labs"]
    if not isinstance(note, Note) or not isinstance(labs, Measurements):
        raise TypeError("the quickstart has a note and labs")
    values = [
        {"name": m.name, "value": m.value, "unit": m.unit, "collected_at": _utc(labs.acquired_at)} for m in labs.values
    ]
    return {
        "reference": case.case_id,
        "patient": {"id": case.patient_id},
        "index_time": _utc(case.index_time),
        "note": {"text": note.text, "acquired_at": _utc(note.acquired_at)},
        "labs": values,
    }


def _utc(moment: datetime | None) -> str | None:
    return None if moment is None else moment.replace(tzinfo=UTC).isoformat()


def _post_all(client: Any, cases: "Sequence[Sent]") -> list[Answered]:
    from clinimm.cli.served import post, result

    ids = [post(client, sent) for sent in cases]
    return [Answered(sent.title, case_id, result(client, case_id)) for sent, case_id in zip(cases, ids, strict=True)]


def _table(answered: "Sequence[Answered]") -> Any:
    from rich import box
    from rich.table import Table

    first = answered[0].result
    title = "calibrated probability with its 95 % interval, decision, and what the gate listened to"
    table = Table(title=title, title_justify="left", box=box.SIMPLE, show_lines=True)
    for name in ("case", *(t["target"].replace("_", " ") for t in first["targets"]), "gate weights"):
        table.add_column(name, no_wrap=True)
    for row in answered:
        weights = "\n".join(f"{name} {value:.2f}" for name, value in row.result["weights"].items())
        table.add_row(row.title, *map(_probability, row.result["targets"]), weights)
    return table


def _probability(target: dict[str, Any]) -> str:
    if target["probability"] is None:
        return "abstained"
    low, high = target["interval"] or (None, None)
    ends = "" if low is None else f"\n{low:.2f} to {high:.2f}"
    return f"{target['probability']:.2f}{ends}\n{'flagged' if target['decision'] else 'not flagged'}"


def _reasons(answered: "Sequence[Answered]") -> list[str]:
    """A line for every case abstained from and every input that was not used, and why."""
    lines = []
    for row in answered:
        if row.result["abstained"]:
            lines.append(f"{row.title}: abstained from: {row.result['abstained']}")
        for name, state in row.result["inputs"].items():
            if state["status"] != "present":
                detail = f" ({state['detail']})" if state["detail"] else ""
                lines.append(f"{row.title}: {name} {state['status']}: {state['reason']}{detail}")
    return lines


def _write_report(client: Any, answered: Answered, out: Path) -> Path:
    from clinimm.cli.served import report

    page, record = report(client, answered.case_id)
    (out / "report.json").write_text(record, encoding="utf-8")
    path = out / "report.html"
    path.write_text(page, encoding="utf-8")
    return path.resolve()
