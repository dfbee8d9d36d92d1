"""One input made worse and worse: whether its gate weight falls, and the answer goes to the one without it.

Noise and blur for pictures, words swapped for words of other cases for notes, noise for laboratory values, all on the
prepared batch. b cases, s strengths, k targets."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

from clinimm import metrics
from clinimm.batch import Batch, ModalityBatch, ModelOutput
from clinimm.bootstrap import Estimate, Weights, estimate, resampled
from clinimm.data.quality.moved import Looks, moved
from clinimm.types import Kind, Modality

SDS = (0.0, 0.5, 1.0, 2.0, 4.0)
SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)
SIGMAS = (0.0, 0.01, 0.02, 0.04, 0.08)
MOST_CASES = 512
_ROWS = 64

Apply = Callable[[Float[np.ndarray, "n k"], Bool[np.ndarray, "n m"]], Float[np.ndarray, "n k"]]


@runtime_checkable
class Answering(Protocol):
    """A committee, or one of its members."""

    prior: Tensor

    @property
    def modalities(self) -> tuple[Modality, ...]: ...

    def tokens(self, batch: Batch, present: Tensor) -> Any: ...

    def fuse(self, tokens: Any, present: Tensor, quality: Mapping[str, Tensor]) -> ModelOutput: ...


@dataclass(frozen=True)
class Corrupted:
    """What a model said of the cases that have the input and another one beside it, by strength, and without it."""

    modality: str
    how: str
    unit: str
    strengths: tuple[float, ...]
    patient_ids: tuple[str, ...]
    targets: Float[np.ndarray, "b k"]
    weights: Float[np.ndarray, "s b"]
    probabilities: Float[np.ndarray, "s b k"]
    without: Float[np.ndarray, "b k"]

    @staticmethod
    def concat(parts: Sequence["Corrupted"]) -> "Corrupted":
        """The same corruption in the folds of a cross-validation."""
        return replace(
            parts[0],
            patient_ids=tuple(patient for part in parts for patient in part.patient_ids),
            targets=np.concatenate([part.targets for part in parts]),
            weights=np.concatenate([part.weights for part in parts], axis=1),
            probabilities=np.concatenate([part.probabilities for part in parts], axis=1),
            without=np.concatenate([part.without for part in parts]),
        )


@dataclass(frozen=True)
class Corruption:
    """By strength: the mean gate weight of the input, the AUROC of all inputs, and how far on average the probability
    is from the one without the input. `alone` is the AUROC without it; `falls` how much weight it has lost at the
    strongest."""

    target: str
    modality: str
    how: str
    unit: str
    cases: int
    strengths: tuple[float, ...]
    weight: tuple[Estimate, ...]
    auroc: tuple[Estimate, ...]
    distance: tuple[Estimate, ...]
    without: Estimate
    falls: Estimate

    def record(self) -> dict[str, Any]:
        told = {"weight": self.weight, "auroc": self.auroc, "distance": self.distance}
        return {
            "target": self.target,
            "input": self.modality,
            "how": self.how,
            "unit": self.unit,
            "cases": self.cases,
            "strengths": list(self.strengths),
            **{name: [one.record() for one in estimates] for name, estimates in told.items()},
            "auroc_without": self.without.record(),
            "weight_lost": self.falls.record(),
        }


def corrupt(
    model: Answering,
    batch: Batch,
    patient_ids: Sequence[str],
    apply: Apply,
    *,
    looks: Mapping[str, Looks] | None = None,
    seed: int = 0,
    most: int = MOST_CASES,
) -> tuple[Corrupted, ...]:
    """Every input of the model, corrupted in every way of its kind, on at most `most` cases drawn by the seed.

    `apply` turns logits into probabilities, given which inputs each case has. With `looks`, the gate hears how the
    pictures of a modality look then, as it would from the file."""
    found = []
    for place, modality in enumerate(model.modalities):
        others = batch.present.clone()
        others[:, place] = False
        rows = (batch.present[:, place] & others.any(dim=1)).nonzero()[:, 0]
        generator = torch.Generator().manual_seed(seed)
        rows = rows[torch.randperm(len(rows), generator=generator)[:most]].sort().values
        if not len(rows):
            continue
        part, others = batch.rows(rows), others[rows]
        without, _ = _answers(model, part, others)
        for way in WAYS[modality.kind]:
            worse = way.apply(part.modalities[modality.name], torch.Generator().manual_seed(seed))
            said = [
                _answers(model, _with(part, modality.name, one, (looks or {}).get(modality.name)), part.present)
                for one in worse
            ]
            found.append(
                Corrupted(
                    modality.name, way.name, way.unit, way.strengths,
                    tuple(patient_ids[i] for i in rows.tolist()),
                    torch.where(part.target_mask, part.targets, torch.nan).numpy().astype(float),
                    np.stack([weights[:, place] for _, weights in said]),
                    np.stack([apply(logits, part.present.numpy()) for logits, _ in said]),
                    apply(without, others.numpy()),
                )
            )  # fmt: skip
    return tuple(found)


def judge_corruption(
    found: Corrupted, target_names: Sequence[str], *, bootstrap: int = 1000, seed: int = 0
) -> tuple[Corruption, ...]:
    """What became of the weight and of the answers, for each target, with intervals by drawing patients."""
    return tuple(_of_target(found, name, j, bootstrap, seed) for j, name in enumerate(target_names))


def _of_target(found: Corrupted, target: str, j: int, bootstrap: int, seed: int) -> Corruption:
    rows = ~np.isnan(found.targets[:, j])
    labels, weight = found.targets[rows, j] > 0.5, found.weights[:, rows]
    told, without = found.probabilities[:, rows, j], found.without[rows, j]
    distance = np.abs(told - without)
    patients = [patient for patient, row in zip(found.patient_ids, rows, strict=True) if row]
    s = len(found.strengths)

    def together(weights: Weights) -> Float[np.ndarray, "r j"]:
        shares = weights / weights.sum(axis=1, keepdims=True)
        aurocs = [metrics.weighted_auroc(labels, p, weights) for p in (*told, without)]
        lost = shares @ (weight[0] - weight[-1])
        return np.concatenate([shares @ weight.T, shares @ distance.T, np.stack(aurocs, axis=1), lost[:, None]], axis=1)

    width = 3 * s + 2
    values, draws = np.full(width, np.nan), np.empty((0, width))
    if patients:
        values, draws = resampled(together, patients, resamples=bootstrap, seed=seed)
    one = [estimate(values[i], draws[:, i], len(set(patients))) for i in range(width)]
    return Corruption(
        target, found.modality, found.how, found.unit, len(labels), found.strengths,
        weight=tuple(one[:s]), distance=tuple(one[s : 2 * s]), auroc=tuple(one[2 * s : 3 * s]),
        without=one[3 * s], falls=one[-1],
    )  # fmt: skip


@dataclass(frozen=True)
class Way:
    """One way to spoil an input: `apply` gives it at each of the strengths, the first being 0."""

    name: str
    unit: str
    strengths: tuple[float, ...]
    apply: Callable[[ModalityBatch, torch.Generator], Iterator[ModalityBatch]]


def picture_noise(part: ModalityBatch, generator: torch.Generator) -> Iterator[ModalityBatch]:
    """White noise, in standard deviations of each picture's own pixels; the same noise, only stronger."""
    noise = torch.randn(part.values.shape, generator=generator)
    axes = tuple(range(1, part.values.ndim))
    spread = part.values.std(dim=axes, keepdim=True)
    return (replace(part, values=part.values + strength * spread * noise, encoded=None) for strength in SDS)


def picture_blur(part: ModalityBatch, generator: torch.Generator) -> Iterator[ModalityBatch]:
    """A Gaussian blur whose standard deviation is a share of each side."""
    return (replace(part, values=blurred(part.values, sigma), encoded=None) for sigma in SIGMAS)


def words_swapped(part: ModalityBatch, generator: torch.Generator) -> Iterator[ModalityBatch]:
    """A share of the pieces of each note replaced by pieces of any notes of the batch, as common as they are there."""
    mask = torch.ones_like(part.values, dtype=torch.bool) if part.mask is None else part.mask
    pieces = part.values[mask & part.present[:, None]]
    drawn = pieces[torch.randint(len(pieces), part.values.shape, generator=generator)]
    luck = torch.rand(part.values.shape, generator=generator)
    return (
        replace(part, values=torch.where((luck < share) & mask, drawn, part.values), encoded=None) for share in SHARES
    )


def panel_noise(part: ModalityBatch, generator: torch.Generator) -> Iterator[ModalityBatch]:
    """White noise on the known values, in standard deviations of each analyte over the cases."""
    known = torch.ones_like(part.values, dtype=torch.bool) if part.mask is None else part.mask
    count = known.sum(dim=0).clamp_min(1)
    mean = (part.values * known).sum(dim=0) / count
    spread = (((part.values - mean) * known).square().sum(dim=0) / count).sqrt()
    noise = torch.randn(part.values.shape, generator=generator) * spread * known
    return (replace(part, values=part.values + strength * noise, encoded=None) for strength in SDS)


WAYS: dict[Kind, tuple[Way, ...]] = {
    Kind.IMAGE: (
        Way("noise", "standard deviations of the picture", SDS, picture_noise),
        Way("blur", "blur radius as a share of the side", SIGMAS, picture_blur),
    ),
    Kind.TEXT: (Way("words swapped", "share of the words", SHARES, words_swapped),),
    Kind.TABULAR: (Way("noise", "standard deviations of each value", SDS, panel_noise),),
}


def blurred(pictures: Float[Tensor, "b c *hw"], sigma: float) -> Float[Tensor, "b c *hw"]:
    """Each axis in turn; what is beyond an edge looks like the edge."""
    for axis in range(2, pictures.ndim) if sigma else ():
        pixels = sigma * pictures.shape[axis]
        radius = min(max(1, round(3 * pixels)), pictures.shape[axis] - 1)
        at = torch.arange(-radius, radius + 1, dtype=pictures.dtype)
        kernel = torch.softmax(-(at**2) / (2 * pixels**2), dim=0)
        lines = pictures.movedim(axis, -1)
        padded = F.pad(lines.reshape(-1, 1, lines.shape[-1]), (radius, radius), mode="replicate")
        pictures = F.conv1d(padded, kernel[None, None]).reshape(lines.shape).movedim(-1, axis)
    return pictures


def _with(batch: Batch, name: str, part: ModalityBatch, looks: Looks | None) -> Batch:
    """The batch with one input spoilt."""
    if looks is not None:
        part = replace(part, quality=moved(part.quality, batch.modalities[name].values, part.values, looks))
    return Batch(batch.case_ids, {**batch.modalities, name: part}, batch.targets, batch.target_mask)


@torch.inference_mode()
def _answers(
    model: Answering, batch: Batch, present: Bool[Tensor, "b m"]
) -> tuple[Float[np.ndarray, "b k"], Float[np.ndarray, "b m"]]:
    """Logits and gate weights."""
    logits, weights = [], []
    for start in range(0, len(batch), _ROWS):
        rows = torch.arange(start, min(start + _ROWS, len(batch)))
        part, shown = batch.rows(rows).to(model.prior.device), present[rows].to(model.prior.device)
        output = model.fuse(model.tokens(part, shown), shown, part.quality)
        logits.append(output.logits.double().cpu())
        weights.append(output.weights.double().cpu())
    return torch.cat(logits).numpy(), torch.cat(weights).numpy()
