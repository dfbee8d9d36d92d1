"""A cohort on disk: pictures, notes, a manifest with the labs, and `evidence.json`, the planted truth."""

import csv
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from clinimm.choose import choose
from clinimm.data.synthetic.chance import Stream, generator
from clinimm.data.synthetic.evidence import EVIDENCE, CaseEvidence, Planted, Spans, write_evidence
from clinimm.data.synthetic.imaging import IMAGING, Imaging
from clinimm.data.synthetic.labs import SIGNS, UNITS, draw_panel
from clinimm.data.synthetic.missingness import Missing
from clinimm.data.synthetic.notes import write_note
from clinimm.data.synthetic.plan import KINDS, QUESTIONS, Mechanism, PlannedCase, Recipe, plan_cohort
from clinimm.data.synthetic.region import Ellipse
from clinimm.errors import ConfigError
from clinimm.types import Kind

MANIFEST = "manifest.csv"
MECHANISMS = {mechanism.value: mechanism for mechanism in Mechanism}
MISSING = {missing.value: missing for missing in Missing}


@dataclass(frozen=True)
class _Written:
    """What became of one case: its cells of the manifest, and where each target's sign is to be seen."""

    cells: Mapping[str, str]
    regions: Mapping[str, Ellipse]
    spans: Mapping[str, Spans]


def write_cohort(
    out: Path,
    *,
    n: int = 400,
    seed: int = 0,
    image: str = "cr",
    missing: str = "mcar",
    rate: float = 0.15,
    mechanism: str | None = None,
    label_noise: float = 0.02,
    progress: Callable[[int, int], None] | None = None,
) -> Path:
    """Writes `n` cases to `out` and returns the path of the manifest; `configs/quickstart.toml` reads it.

    `image` is "cr" (a film each, column `cxr`) or "ct" (a folder of slices each, column `ct`). Each input is missing
    at `rate`: "mcar", "mar" (by site and age) or "mnar" (by what it would have shown); every case keeps one.
    `mechanism` ("unique", "redundant", "synergy") holds for all targets; None leaves each its own. A label is wrong
    with probability `label_noise`. `progress(done, n)` is called after each case.

    The same arguments give the same bytes, a larger `n` only adds cases, and other missingness changes nothing but
    what is missing. A cohort that stood in `out` before is replaced. Raises ConfigError for unknown choices and for a
    folder that holds anything else."""
    imaging = choose(IMAGING, image, "image")
    recipe = _recipe(seed, missing, rate, mechanism, label_noise)
    if n < 1:
        raise ConfigError(f"n is {n}", where="synthetic cohort", mend="ask for one case or more")
    _clear(out)
    names = {Kind.IMAGE: imaging.column, Kind.TEXT: "note", Kind.TABULAR: "labs"}
    rows, evidence = [], []
    for case in plan_cohort(n, recipe):
        written = _write_case(out, case, seed, imaging)
        rows.append(_row(case, names, written.cells))
        evidence.append(_evidence(case, names, written))
        if progress:
            progress(len(rows), n)
    _write_manifest(out / MANIFEST, rows)
    write_evidence(out / EVIDENCE, _facts(recipe, names), evidence)
    return out / MANIFEST


def _recipe(seed: int, missing: str, rate: float, mechanism: str | None, label_noise: float) -> Recipe:
    recipe = Recipe(
        seed=seed,
        missing=choose(MISSING, missing, "missing"),
        rate=rate,
        mechanism=None if mechanism is None else choose(MECHANISMS, mechanism, "mechanism"),
        label_noise=label_noise,
    )
    if seed < 0 or not 0 <= rate < 1 or not 0 <= label_noise < 0.5:
        raise ConfigError(
            f"seed is {seed}, rate {rate}, label_noise {label_noise}",
            where="synthetic cohort",
            mend="give a seed of 0 or more, a rate in [0, 1) and a label_noise in [0, 0.5)",
        )
    return recipe


def _clear(out: Path) -> None:
    """Makes `out` a folder without a cohort, if it holds nothing else. An empty evidence file marks it as ours, so
    that a run that was cut off can be repeated."""
    if out.is_dir() and any(out.iterdir()) and not (out / EVIDENCE).is_file():
        raise ConfigError("holds something other than a synthetic cohort", where=str(out), mend="name an empty folder")
    for folder in ("images", "notes"):
        shutil.rmtree(out / folder, ignore_errors=True)
        (out / folder).mkdir(parents=True)
    (out / MANIFEST).unlink(missing_ok=True)
    (out / EVIDENCE).write_text("")


def _write_case(out: Path, case: PlannedCase, seed: int, imaging: Imaging) -> _Written:
    """Writes the files of the inputs that are present."""
    cells: dict[str, str] = {}
    regions: Mapping[str, Ellipse] = {}
    spans: Mapping[str, Spans] = {}
    number, visit = case.patient.number, case.visit
    if Kind.IMAGE in case.present:
        path, regions = imaging.write(out, case, seed)
        cells[imaging.column] = path.as_posix()
    if Kind.TEXT in case.present:
        rng = generator(seed, Stream.NOTE, number, visit)
        note = write_note(rng, case.patient.age, case.patient.sex, case.shows(Kind.TEXT), case.decides(Kind.TEXT))
        path = Path("notes") / f"{case.case_id}.txt"
        (out / path).write_bytes(note.text.encode())
        cells["note"], spans = path.as_posix(), note.spans
    if Kind.TABULAR in case.present:
        rng = generator(seed, Stream.LABS, number, visit)
        panel = draw_panel(rng, case.patient.sex, case.shows(Kind.TABULAR))
        cells |= {name: f"{value:g}" for name, value in panel.items() if value is not None}
    return _Written(cells, regions, spans)


def _row(case: PlannedCase, names: Mapping[Kind, str], cells: Mapping[str, str]) -> dict[str, str]:
    """The manifest's row. Cells of what is missing are empty."""
    patient = case.patient
    times = {f"{names[k]}_time": case.acquired[k].isoformat() if k in case.present else "" for k in KINDS}
    inputs = (names[Kind.IMAGE], names[Kind.TEXT], *times, *UNITS)
    return {
        "case_id": case.case_id,
        "patient_id": patient.patient_id,
        "index_time": case.index_time.isoformat(),
        "site": patient.site,
        "sex": patient.sex,
        "age": str(patient.age),
        **dict.fromkeys(inputs, ""),
        **times,
        **cells,
        **{name: str(int(signal.label)) for name, signal in case.signals.items()},
    }


def _evidence(case: PlannedCase, names: Mapping[Kind, str], written: _Written) -> CaseEvidence:
    planted = {target: _planted(case, target, names, written) for target in case.signals}
    return CaseEvidence(case.case_id, _named(names, case.present), planted)


def _planted(case: PlannedCase, target: str, names: Mapping[Kind, str], written: _Written) -> Planted:
    signal = case.signals[target]
    visible = case.present & set(signal.sources)
    return Planted(
        mechanism=signal.mechanism,
        truth=signal.truth,
        label=signal.label,
        sources=_named(names, signal.sources),
        visible=_named(names, visible),
        on=_named(names, signal.on),
        region=written.regions.get(target) if Kind.IMAGE in visible else None,
        spans=written.spans.get(target, ()) if Kind.TEXT in visible else (),
        analytes=SIGNS[target] if Kind.TABULAR in visible else (),
    )


def _named(names: Mapping[Kind, str], kinds: Sequence[Kind] | frozenset[Kind]) -> tuple[str, ...]:
    return tuple(names[kind] for kind in KINDS if kind in kinds)


def _facts(recipe: Recipe, names: Mapping[Kind, str]) -> dict[str, object]:
    return {
        "seed": recipe.seed,
        "missing": recipe.missing.value,
        "rate": recipe.rate,
        "mechanism": recipe.mechanism and recipe.mechanism.value,
        "label_noise": recipe.label_noise,
        "inputs": list(names.values()),
        "targets": [question.name for question in QUESTIONS],
    }


def _write_manifest(path: Path, rows: Sequence[Mapping[str, str]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
