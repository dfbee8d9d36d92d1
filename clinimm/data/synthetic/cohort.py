"""A cohort on disk: pictures, notes, a manifest with the labs, and `evidence.json`, the planted truth."""

import csv
import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from clinimm.choose import choose
from clinimm.data.synthetic import dicom, volume
from clinimm.data.synthetic.chance import Stream, generator
from clinimm.data.synthetic.film import Ellipse, draw_anatomy, draw_film
from clinimm.data.synthetic.labs import SIGNS, UNITS, draw_panel
from clinimm.data.synthetic.missingness import Missing
from clinimm.data.synthetic.notes import WrittenNote, write_note
from clinimm.data.synthetic.plan import KINDS, QUESTIONS, Mechanism, PlannedCase, Recipe, Signal, plan_cohort
from clinimm.errors import ConfigError
from clinimm.types import Kind

MANIFEST, EVIDENCE = "manifest.csv", "evidence.json"
MECHANISMS = {mechanism.value: mechanism for mechanism in Mechanism}
MISSING = {missing.value: missing for missing in Missing}
Signs = Mapping[str, Ellipse]


@dataclass(frozen=True)
class DrawnCase:
    """A case as it was written: its row of the manifest and its entry in the evidence."""

    row: dict[str, str]
    evidence: dict[str, Any]


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
    at `rate`, "mcar", "mar" (by site and age) or "mnar" (by what it would have shown), but every case keeps one.
    `mechanism` ("unique", "redundant", "synergy") holds for all targets; None leaves each its own. A label is wrong
    with probability `label_noise`. `progress(done, n)` is called after each case.

    The same arguments give the same bytes, a larger `n` only adds cases, and changing the missingness changes nothing
    but what is missing. A cohort that stood in `out` before is replaced. Raises ConfigError for unknown choices and
    for a folder that holds anything else."""
    draw_image = choose(IMAGES, image, "image")
    recipe = Recipe(
        seed=seed,
        missing=choose(MISSING, missing, "missing"),
        rate=rate,
        mechanism=None if mechanism is None else choose(MECHANISMS, mechanism, "mechanism"),
        label_noise=label_noise,
    )
    _check(n, recipe)
    _clear(out)
    names = {Kind.IMAGE: INPUT_NAMES[image], Kind.TEXT: "note", Kind.TABULAR: "labs"}
    drawn = []
    for case in plan_cohort(n, recipe):
        drawn.append(_write_case(out, case, recipe, names, draw_image))
        if progress:
            progress(len(drawn), n)
    _write_manifest(out / MANIFEST, [case.row for case in drawn])
    _write_evidence(out / EVIDENCE, recipe, names, [case.evidence for case in drawn])
    return out / MANIFEST


def _check(n: int, recipe: Recipe) -> None:
    if n < 1 or recipe.seed < 0:
        raise ConfigError("needs at least one case and a seed of 0 or more", where="synthetic cohort")
    if not 0 <= recipe.rate < 1 or not 0 <= recipe.label_noise < 0.5:
        raise ConfigError(
            f"rate is {recipe.rate}, label_noise {recipe.label_noise}",
            where="synthetic cohort",
            mend="give a rate in [0, 1) and a label_noise in [0, 0.5)",
        )


def _clear(out: Path) -> None:
    """Makes `out` an empty folder, if all it holds is an earlier cohort."""
    if out.is_dir() and any(out.iterdir()) and not (out / EVIDENCE).is_file():
        raise ConfigError("holds something other than a synthetic cohort", where=str(out), mend="name an empty folder")
    for folder in ("images", "notes"):
        shutil.rmtree(out / folder, ignore_errors=True)
        (out / folder).mkdir(parents=True)


def _draw_film(out: Path, case: PlannedCase, seed: int) -> tuple[str, Signs]:
    patient = case.patient
    anatomy = draw_anatomy(generator(seed, Stream.ANATOMY, patient.number))
    rng = generator(seed, Stream.IMAGE, patient.number, case.visit)
    picture = draw_film(rng, anatomy, case.shows(Kind.IMAGE))
    device = dicom.DEVICES[int(generator(seed, Stream.DEVICE, patient.number, case.visit).integers(len(dicom.DEVICES)))]
    path = Path("images") / f"{case.case_id}.dcm"
    dicom.write_film(
        out / path, picture.brightness, device, patient, f"{seed}/{case.case_id}", case.acquired[Kind.IMAGE]
    )
    return path.as_posix(), picture.signs


def _draw_volume(out: Path, case: PlannedCase, seed: int) -> tuple[str, Signs]:
    patient = case.patient
    build = volume.draw_build(generator(seed, Stream.ANATOMY, patient.number))
    rng = generator(seed, Stream.IMAGE, patient.number, case.visit)
    scan = volume.draw_volume(rng, build, case.shows(Kind.IMAGE))
    order = generator(seed, Stream.DEVICE, patient.number, case.visit).permutation(volume.SHAPE[2])
    path = Path("images") / case.case_id
    dicom.write_series(
        out / path,
        scan.hounsfield,
        volume.SPACING_MM,
        [int(i) for i in order],
        patient,
        f"{seed}/{case.case_id}",
        case.acquired[Kind.IMAGE],
    )
    return path.as_posix(), scan.signs


IMAGES = {"cr": _draw_film, "ct": _draw_volume}
INPUT_NAMES = {"cr": "cxr", "ct": "ct"}


def _write_case(
    out: Path,
    case: PlannedCase,
    recipe: Recipe,
    names: Mapping[Kind, str],
    draw_image: Callable[[Path, PlannedCase, int], tuple[str, Signs]],
) -> DrawnCase:
    row = _who_and_when(case, names)
    places: dict[str, dict[str, Any]] = {target: {} for target in case.signals}
    if Kind.IMAGE in case.present:
        row[names[Kind.IMAGE]], signs = draw_image(out, case, recipe.seed)
        _place(places, names[Kind.IMAGE], {t: {"region": vars(e)} for t, e in signs.items()})
    if Kind.TEXT in case.present:
        note = _draw_note(case, recipe.seed)
        row["note"] = f"notes/{case.case_id}.txt"
        (out / row["note"]).write_bytes(note.text.encode())
        _place(places, "note", {t: {"spans": spans} for t, spans in note.spans.items()})
    if Kind.TABULAR in case.present:
        panel = _draw_labs(case, recipe.seed)
        row |= {name: "" if value is None else f"{value:g}" for name, value in panel.items()}
        _place(places, "labs", {target: {"analytes": found} for target, found in SIGNS.items()})
    targets = {name: _evidence(signal, names, places[name], case) for name, signal in case.signals.items()}
    present = [names[kind] for kind in KINDS if kind in case.present]
    return DrawnCase(row, {"case_id": case.case_id, "present": present, "targets": targets})


def _place(places: dict[str, dict[str, Any]], name: str, found: Mapping[str, Any]) -> None:
    for target, where in found.items():
        places[target][name] = where


def _evidence(
    signal: Signal, names: Mapping[Kind, str], places: Mapping[str, Any], case: PlannedCase
) -> dict[str, Any]:
    """Where a target's signal lies. `sources` decide it, of which `visible` were not hidden."""
    sources = [names[kind] for kind in KINDS if kind in signal.sources]
    return {
        "mechanism": signal.mechanism.value,
        "truth": signal.truth,
        "label": signal.label,
        "sources": sources,
        "visible": [names[kind] for kind in KINDS if kind in signal.sources and kind in case.present],
        "on": [names[kind] for kind in KINDS if kind in signal.on],
        "where": {name: place for name, place in places.items() if name in sources},
    }


def _draw_note(case: PlannedCase, seed: int) -> WrittenNote:
    rng = generator(seed, Stream.NOTE, case.patient.number, case.visit)
    return write_note(rng, case.patient.age, case.patient.sex, case.shows(Kind.TEXT), case.decides(Kind.TEXT))


def _draw_labs(case: PlannedCase, seed: int) -> dict[str, float | None]:
    rng = generator(seed, Stream.LABS, case.patient.number, case.visit)
    return draw_panel(rng, case.patient.sex, case.shows(Kind.TABULAR))


def _who_and_when(case: PlannedCase, names: Mapping[Kind, str]) -> dict[str, str]:
    """The manifest's row so far: everything but the inputs, whose columns stay empty if they are missing."""
    patient = case.patient
    times = {f"{names[k]}_time": case.acquired[k].isoformat() if k in case.present else "" for k in KINDS}
    return {
        "case_id": case.case_id,
        "patient_id": patient.patient_id,
        "index_time": case.index_time.isoformat(),
        "site": patient.site,
        "sex": patient.sex,
        "age": str(patient.age),
        names[Kind.IMAGE]: "",
        "note": "",
        **times,
        **dict.fromkeys(UNITS, ""),
        **{name: str(int(signal.label)) for name, signal in case.signals.items()},
    }


def _write_manifest(path: Path, rows: Sequence[Mapping[str, str]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def _write_evidence(path: Path, recipe: Recipe, names: Mapping[Kind, str], cases: Sequence[Mapping[str, Any]]) -> None:
    record = {
        "seed": recipe.seed,
        "missing": recipe.missing.value,
        "rate": recipe.rate,
        "label_noise": recipe.label_noise,
        "inputs": list(names.values()),
        "targets": [question.name for question in QUESTIONS],
        "cases": list(cases),
    }
    path.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
