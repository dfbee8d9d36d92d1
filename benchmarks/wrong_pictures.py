"""Wrong pictures sent to the guard of a chest-film model, and right ones: how many of each are blocked or flagged.

    python benchmarks/wrong_pictures.py --data DIR [--hard DIR] [--json FILE]

DIR holds the cohort of configs/cxr_note_labs.toml. Each of its folds is judged by a guard fitted on the others, the
thresholds too; intervals are by patient. Wrong are: real lateral films of the same patients; those films inverted and
turned; photographs that scikit-learn ships; pages written with Pillow; noise, black and white; knees, chest CT slices
and ultrasound drawn here, by other means than the guard's own; and, with --hard, real CT, MR, ultrasound, leg and other
pictures of a folder of odd DICOM files. Right are the unseen frontal films, as they are and otherwise exposed, turned,
cut, sharp. "blind" is a guard that never saw an inverted or turned picture, a slice, a bone or a scene; "elsewhere" is
a guard of all hospitals but the one whose films it judges."""

import argparse
import csv
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

os.environ |= {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"}

import numpy as np
import torch
from sent_pictures import FINE, drawn, shifted, spoiled
from torch import Tensor

from clinimm.bootstrap import patient_bootstrap
from clinimm.config import Config, ImageInput, load
from clinimm.data.cohort import read_cohort
from clinimm.data.doors import fit_preparer
from clinimm.data.picture import onto_grid, place
from clinimm.data.picture_door import PictureDoor
from clinimm.data.prepare import prepare_all
from clinimm.errors import ClinimmError
from clinimm.guard.guards import accepted
from clinimm.guard.judgement import Judgement, Verdict
from clinimm.guard.pictures import PictureGuard
from clinimm.io.sandbox import Sandbox
from clinimm.types import Case, ImageFile, Modality

CONFIG = Path(__file__).parent.parent / "configs" / "cxr_note_labs.toml"
BLIND = ("inverted", "turned", "slice", "bones", "scene")
HARD = {  # what the readable files of the folder show, by eye
    "CT slice": "100 102 104 126 134 161 207 211 243 253 275", "MR slice": "110 167 169 195 255 267 273",
    "ultrasound": "114 137 142 153 217 235 237 277", "photograph": "112 128 209 213", "leg": "223 271",
    "other X-ray": "082 108 116 261 265", "nuclear": "146 150 165 215 259 263 269",
    "test chart": "106 118 120 122 124 144 157 159 163 171 173 175 177 181 183 185 187 189 191 193 199 227 229 249 257",
    "chest film": "155 221",
}  # fmt: skip


@dataclass(frozen=True)
class Films:
    """The cohort's films on the model's grid (prepared, standardized) and finely (in [0, 1])."""

    cases: tuple[Case, ...]
    values: Tensor
    fine: Tensor
    valid: np.ndarray

    @property
    def patients(self) -> np.ndarray:
        return np.array([case.patient_id for case in self.cases])

    def column(self, name: str) -> np.ndarray:
        return np.array([case.attributes[name] for case in self.cases])


def read_films(config: Config, name: str, data: Path) -> Films:
    cases = [case for case in read_cohort(config, data) if isinstance(case.inputs.get(name), ImageFile)]
    with Sandbox(processes=2) as sandbox:
        preparer = fit_preparer(config, cases, sandbox)
        part = prepare_all(preparer, cases).modalities[name]
        door = fine_door(config, name, sandbox)
        fine = [door.pixels(case.inputs[name])[0] for case, here in zip(cases, part.present, strict=True) if here]
    kept = tuple(case for case, here in zip(cases, part.present.tolist(), strict=True) if here)
    valid = accepted(name, config.inputs[name], kept, len(kept)).numpy()
    return Films(kept, part.values[part.present], torch.stack(fine), valid)


def fine_door(config: Config, name: str, sandbox: Sandbox) -> PictureDoor:
    (modality,) = (m for m in config.modalities() if m.name == name)
    return PictureDoor(Modality(name, modality.kind, (1, FINE, FINE)), sandbox)


def read_hard(config: Config, name: str, folder: Path) -> dict[str, Tensor]:
    """The readable single pictures of the folder by what they show."""
    kinds = {number: kind for kind, numbers in HARD.items() for number in numbers.split()}
    found: dict[str, list[Tensor]] = {}
    with Sandbox() as sandbox, (folder / "manifest.csv").open() as manifest:
        door = fine_door(config, name, sandbox)
        for row in csv.DictReader(manifest):
            kind = kinds.get(Path(row["file"]).name[:3])
            if kind is None:
                continue
            try:
                found.setdefault(kind, []).append(door.pixels(ImageFile((folder / row["file"],)))[0])
            except ClinimmError as error:
                print(f"{row['file']}: {error}")
    return {f"{kind} (real)": torch.stack(pictures) for kind, pictures in found.items()}


def on_grid(pictures: Sequence[np.ndarray] | Tensor, side: int) -> Tensor:
    """Pictures of any size in [0, 1] as the preparer would put them on the model's grid."""
    placed = [torch.as_tensor(np.ascontiguousarray(picture)).float().squeeze() for picture in pictures]
    return torch.stack([onto_grid(p, place(tuple(p.shape), (side, side))).clamp(0, 1) for p in placed])


Verdicts = dict[str, list[tuple[str, Judgement]]]  # by kind: (patient or picture, judgement)


def fit(films: Films, rows: np.ndarray, section: ImageInput, leave_out: tuple[str, ...] = ()) -> PictureGuard:
    """A guard of these films; inner folds by patient."""
    patients, fold = np.unique(films.patients[rows], return_inverse=True)
    order = np.random.default_rng(0).permutation(len(patients)) % 5
    guard = PictureGuard.fit(
        films.values[rows], torch.from_numpy(order[fold]), torch.from_numpy(films.valid[rows]),
        mean=section.mean, std=section.std, blocks=section.guard.false_blocks, flags=section.guard.flags,
        leave_out=leave_out,
    )  # fmt: skip
    assert guard is not None
    return guard


def judge_fold(
    guard: PictureGuard, films: Films, rows: np.ndarray, others: dict[str, list[np.ndarray]], seed: int
) -> Verdicts:
    rng, side = np.random.default_rng(seed), films.values.shape[-1]
    frontal, lateral = rows[films.valid[rows]], rows[~films.valid[rows]]
    found: Verdicts = {}

    def judge(kind: str, values: Tensor, names: Sequence[str]) -> None:
        found.setdefault(kind, []).extend(zip(names, guard.judge(values), strict=True))

    judge("valid: unseen films", films.values[frontal], films.patients[frontal])
    for kind, pictures in shifted(films.fine[frontal], rng).items():
        judge(f"valid: {kind}", standardized(on_grid(pictures, side), guard), films.patients[frontal])
    if len(lateral):
        judge("lateral film (real)", films.values[lateral], films.patients[lateral])
    for kind, pictures in (spoiled(films.fine[frontal])).items():
        judge(kind, standardized(on_grid(pictures, side), guard), films.patients[frontal])
    for kind, pictures in others.items():
        judge(kind, standardized(on_grid(pictures, side), guard), [f"{kind} {i}" for i in range(len(pictures))])
    return found


def standardized(pixels: Tensor, guard: PictureGuard) -> Tensor:
    return (pixels - guard.mean) / guard.std


def pooled(parts: Sequence[Verdicts]) -> Verdicts:
    return {
        kind: [one for part in parts for one in part.get(kind, [])] for kind in {k: 0 for part in parts for k in part}
    }


def table(title: str, verdicts: Verdicts) -> list[dict[str, object]]:
    """Prints the rates, valid pictures first; those of films with 95 % intervals by patient."""
    print(f"\n{title}\n{'':36}{'n':>6} {'blocked':>22} {'blocked or flagged':>24}")
    rows = []
    for kind in sorted(verdicts, key=lambda kind: (not kind.startswith("valid"), kind)):
        names, judged = zip(*verdicts[kind], strict=True)
        blocked = np.array([judgement.verdict is Verdict.BLOCK for judgement in judged], dtype=float)
        either = np.array([judgement.verdict is not Verdict.OK for judgement in judged], dtype=float)
        rates = patient_bootstrap(
            {key: lambda w, hits=hits: w @ hits / w.sum(1) for key, hits in (("blocked", blocked), ("either", either))},
            list(names), resamples=1000, seed=0,
        )  # fmt: skip
        row = {"kind": kind, "n": len(judged), **{key: rate.record() for key, rate in rates.items()}}
        rows.append(row)
        shown = [
            f"{r.value:.3f}" + (" " * 15 if r.low is None else f" [{r.low:.3f}, {r.high:.3f}]") for r in rates.values()
        ]
        print(f"{kind:36}{len(judged):6} {shown[0]:>22} {shown[1]:>24}", flush=True)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--hard", type=Path)
    parser.add_argument("--config", type=Path, default=CONFIG)
    parser.add_argument("--input", default="cxr")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    column = (f'inputs.{options.input}.guard={{column="view", accept=["AP", "PA", ""]}}',)
    config = load(options.config, column)
    section = config.inputs[options.input]
    assert isinstance(section, ImageInput)
    films = read_films(config, options.input, options.data)
    others: dict[str, list[np.ndarray]] = drawn(np.random.default_rng(7))
    hard = read_hard(config, options.input, options.hard) if options.hard else {}
    chest = hard.pop("chest film (real)", torch.zeros(0, 1, FINE, FINE))
    others |= {kind: list(pictures[:, 0].numpy()) for kind, pictures in hard.items()}
    if len(chest):
        others["valid: films of other collections"] = list(chest[:, 0].numpy())
    folds, sites = films.column("fold"), films.column("site")
    hospital = np.where(sites == "hannover", "Hannover", "the web")
    plans = {
        "All kinds shown": (folds, (), others),
        "Blind to " + ", ".join(BLIND): (folds, BLIND, others),
        "Elsewhere: Hannover's films by a guard of the web's, and the reverse": (hospital, (), {}),
    }
    record = {}
    for title, (groups, leave_out, extra) in plans.items():
        found = []
        for seed, group in enumerate(np.unique(groups)):
            guard = fit(films, np.flatnonzero(groups != group), section, leave_out)
            found.append(judge_fold(guard, films, np.flatnonzero(groups == group), extra, seed))
        record[title] = table(title, pooled(found))
        if groups is hospital:
            for name, part in zip(np.unique(groups), found, strict=True):
                kept = {kind: part[kind] for kind in ("valid: unseen films", "inverted film")}
                record[f"{title}: {name}"] = table(f"{title}: {name}", kept)
    if options.json:
        options.json.write_text(json.dumps(record, indent=1))


if __name__ == "__main__":
    main()
