"""Learners that see a shortcut and nothing else. What they get right is no medicine.

n cases, p features, k targets."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float

from clinimm.batch import Batch
from clinimm.data.picture_door import PictureDoor
from clinimm.data.prepare import Preparer
from clinimm.errors import InputError
from clinimm.evaluation.learners import GROVE, LINE, Learner, absence, absence_by_trees, alone
from clinimm.evaluation.plain import PlainCases, plain_cases
from clinimm.evaluation.probes.changes import FRAME, frame
from clinimm.evaluation.said import Trial, calibrated
from clinimm.types import Case, ImageFile, Kind, Modality

SIZE = ("log rows", "log columns", "log aspect", "bits")
GAPS, BORDER, SIZES, SITE = "gaps", "border", "size", "site"
SMALL = 64  # pixels a side are enough of a picture of which only the header is wanted

Sizes = Mapping[str, Mapping[str, tuple[float, ...]]]  # modality -> case id -> SIZE


@dataclass(frozen=True)
class Sight:
    """The same cases in every form that a probe may look at."""

    cases: Sequence[Case]
    batch: Batch
    plain: PlainCases

    @staticmethod
    def of(cases: Sequence[Case], batch: Batch, modalities: Sequence[Modality]) -> "Sight":
        """The cases, and the batch that the model's preparer makes of them."""
        return Sight(cases, batch, plain_cases(cases, batch, modalities))


@dataclass(frozen=True)
class Shortcut:
    """One learner that sees one thing: `sort` of shortcut, in which input, learned how."""

    sort: str
    name: str
    learner: Learner
    train: PlainCases
    asked: PlainCases


def shortcut_logits(
    train: Sight, test: Sight, modalities: Sequence[Modality], sizes: Sizes, site: str, seed: int
) -> dict[tuple[str, str], Float[np.ndarray, "n k"]]:
    """Calibrated logits of every shortcut for the test cases, by its sort and name; NaN where there is nothing to see.
    Trained on the training cases alone, for each target."""
    shortcuts = [
        *(Shortcut(GAPS, name, learner, train.plain, test.plain) for name, learner in _BY_GAPS.items()),
        *(one for modality in modalities if modality.kind is Kind.IMAGE for one in _pictures(train, test, modality)),
        *(one for name, told in sizes.items() for one in _sizes(train, test, name, told)),
        *_sites(train, test, site),
    ]
    return {(one.sort, one.name): _said(one, seed) for one in shortcuts}


def picture_sizes(preparer: Preparer, cases: Sequence[Case]) -> dict[str, dict[str, tuple[float, ...]]]:
    """Size and depth of the stored pictures of each case, read again through the sandbox; what cannot be read is left
    out."""
    found: dict[str, dict[str, tuple[float, ...]]] = {}
    for name, door in preparer.doors.items():
        if isinstance(door, PictureDoor):
            told = {case.case_id: _size(door, case.inputs.get(name)) for case in cases}
            found[name] = {case_id: size for case_id, size in told.items() if size is not None}
    return found


def _size(door: PictureDoor, given: object) -> tuple[float, ...] | None:
    if not isinstance(given, ImageFile):
        return None
    try:
        facts = door.sandbox.read(given.paths, door.window, at_least=SMALL).facts
    except InputError:
        return None
    rows, columns = float(facts["rows"]), float(facts["columns"])
    return float(np.log(rows)), float(np.log(columns)), float(np.log(rows / columns)), float(facts["bits_stored"])


_BY_GAPS = {"logistic": absence, "boosted trees": absence_by_trees}


def _pictures(train: Sight, test: Sight, modality: Modality) -> list[Shortcut]:
    sides = [_seen(sight, modality.name, _border(sight, modality), Kind.IMAGE) for sight in (train, test)]
    learners = {"logistic": alone(modality.name), "extra trees": alone(modality.name, GROVE)}
    return [Shortcut(BORDER, f"{modality.name}, {how}", one, *sides) for how, one in learners.items()]


def _border(sight: Sight, modality: Modality) -> Float[np.ndarray, "n p"]:
    """The outermost pixels of each prepared picture, at most some four thousand of them."""
    there = frame(modality, FRAME).expand(modality.shape)
    values = sight.batch.modalities[modality.name].values[:, there]
    return np.asarray(values[:, :: max(1, values.shape[1] // 4096)].double().cpu().numpy())


def _sizes(train: Sight, test: Sight, name: str, told: Mapping[str, tuple[float, ...]]) -> list[Shortcut]:
    nothing = (float("nan"),) * len(SIZE)
    sides = []
    for sight in (train, test):
        values = np.array([told.get(case.case_id, nothing) for case in sight.cases]).reshape(-1, len(SIZE))
        sides.append(_seen(sight, name, values, Kind.TABULAR))
    learners = {"logistic": alone(name, LINE), "boosted trees": alone(name)}
    return [Shortcut(SIZES, f"{name}, {how}", one, *sides) for how, one in learners.items()]


def _sites(train: Sight, test: Sight, site: str) -> list[Shortcut]:
    """None where the cohort knows no more than one site."""
    known = sorted({case.attributes.get(site, "") for case in train.cases} - {""})
    if len(known) < 2:
        return []
    sides = []
    for sight in (train, test):
        at = [case.attributes.get(site, "") for case in sight.cases]
        values = np.array([[float(one == other) for other in known] for one in at]).reshape(-1, len(known))
        sides.append(_seen(sight, site, np.where(np.isin(at, known)[:, None], values, np.nan), Kind.TABULAR))
    return [Shortcut(SITE, f"{site}, logistic", alone(site, LINE), *sides)]


def _seen(sight: Sight, name: str, values: Float[np.ndarray, "n p"], kind: Kind) -> PlainCases:
    """The cases, with these numbers as their only input, present where none of them is missing."""
    plain = sight.plain
    present = ~np.isnan(values).any(axis=1)
    if name in plain.kinds:
        present &= plain.has(name)
    return PlainCases(plain.case_ids, plain.patient_ids, plain.targets, present[:, None], {name: kind}, {name: values})


def _said(shortcut: Shortcut, seed: int) -> Float[np.ndarray, "n k"]:
    found = []
    for j in range(shortcut.train.targets.shape[1]):
        train = shortcut.train.take(~np.isnan(shortcut.train.targets[:, j]))
        labels = train.targets[:, j] > 0.5
        said = Trial.of(train, labels, shortcut.asked, seed).said(shortcut.learner)
        found.append(calibrated(said, labels).outer[:, -1])
    return np.stack(found, axis=1)


def gap_logits(train: PlainCases, asked: PlainCases, seed: int) -> Float[np.ndarray, "n k"]:
    """Logits of the logistic regression that sees only the gaps, for the asked cases as they stand."""
    return _said(Shortcut(GAPS, "logistic", absence, train, asked), seed)


def with_gaps(plain: PlainCases, name: str, known: torch.Tensor) -> PlainCases:
    """The cases with only these analytes of the input `name` known."""
    told = known.cpu().numpy()
    column = list(plain.kinds).index(name)
    present = plain.present.copy()
    present[:, column] = told.any(axis=1)
    values = {**plain.values, name: np.where(told, plain.values[name], np.nan)}
    return PlainCases(plain.case_ids, plain.patient_ids, plain.targets, present, plain.kinds, values)
