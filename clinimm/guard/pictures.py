"""The guard of a picture: is it of the kind that the model was trained on? b pictures, n references, f features.

Two scores of fixed features, added: how far the picture lies from the valid ones (see subspace.py), and the odds that
it is one of the wrong ones the guard made for itself or was shown (see examples.py, classes.py). The first knows
nothing of what is wrong, the second is sharp where it was taught. Each is put to scale by valid pictures that it was
not fitted on, and so are the thresholds. Source of the second: Hendrycks et al. 2019, Deep Anomaly Detection with
Outlier Exposure; ours makes its outliers."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from clinimm.guard.classes import Classes, odds
from clinimm.guard.examples import OFF_VIEW, Examples, examples
from clinimm.guard.features import features, views
from clinimm.guard.judgement import Judgement, Scale, Thresholds
from clinimm.guard.subspace import Standard, Subspace

NOT_LIKE_TRAINING = "not_like_training"
REASONS = {
    "inverted": "inverted", "turned": "turned", OFF_VIEW: "off_view", "blank": "blank", "noise": "noise",
    "part": "part_of_a_picture", "framed": "picture_in_picture",
}  # fmt: skip
FEWEST = 16  # valid pictures to learn from
_DENSITY, _CLASSIFIER, _RIDGE = 96, 160, 1e-3
_CHUNK = 128


@dataclass(frozen=True)
class Scorer:
    """Both scores of a picture, each on a scale of its own."""

    standard: Standard
    density: Subspace
    coordinates: Subspace
    classes: Classes

    @staticmethod
    def fit(known: Examples, rows: Bool[Tensor, " n"]) -> "Scorer":
        """From these rows of the examples."""
        kinds = known.kinds[rows]
        standard = Standard.fit(known.features[rows][kinds == 0])
        seen = standard(known.features[rows])
        coordinates = Subspace.fit(seen, _CLASSIFIER)
        classes = Classes.fit(coordinates.whitened(seen), kinds, known.names, _RIDGE)
        return Scorer(standard, Subspace.fit(seen[kinds == 0], _DENSITY), coordinates, classes)

    def raw(self, seen: Float[Tensor, "b f"]) -> tuple[Float[Tensor, "b 2"], Float[Tensor, "b k"]]:
        """Distance and odds, and the log probability of each kind."""
        standard = self.standard(seen)
        kinds = self.classes.log_probabilities(self.coordinates.whitened(standard))
        return torch.stack([self.density.distance(standard), odds(kinds)], dim=1), kinds


@dataclass(frozen=True)
class PictureGuard:
    """Judges pictures in [0, 1]; `mean` and `std` are what the model's pixels were standardized with."""

    scorer: Scorer
    scale: Scale
    thresholds: Thresholds
    mean: float
    std: float

    @staticmethod
    def fit(
        values: Float[Tensor, "b 1 ..."], folds: Int[Tensor, " b"], valid: Bool[Tensor, " b"], *,
        mean: float = 0.5, std: float = 0.25, blocks: float = 0.01, flags: float = 0.05, seed: int = 0,
        leave_out: tuple[str, ...] = (),
    ) -> "PictureGuard | None":  # fmt: skip
        """A guard of standardized pictures, or None where fewer than 16 are valid.

        Every picture is judged once by a scorer that saw no picture of its fold; thresholds and scales are of these.
        A patient's pictures belong in one fold."""
        if int(valid.sum()) < FEWEST or len(folds[valid].unique()) < 2:
            return None
        known = examples(views(values * std + mean), valid.tolist(), seed=seed, leave_out=leave_out)
        fold_of = torch.where(known.source >= 0, folds[known.source.clamp(min=0)], -1)
        raw = torch.zeros(len(values), 2)
        for fold in folds[valid].unique():
            held_out = (folds == fold) & valid
            raw[held_out] = Scorer.fit(known, fold_of != fold).raw(known.features[: len(values)][held_out])[0]
        scorer, scale = Scorer.fit(known, torch.ones(len(fold_of), dtype=torch.bool)), Scale.fit(raw[valid])
        return PictureGuard(scorer, scale, Thresholds.fit(scale(raw[valid]).sum(1), flags, blocks), mean, std)

    def judge(self, values: Float[Tensor, "b 1 ..."]) -> tuple[Judgement, ...]:
        """One verdict per picture, whatever stands beside it."""
        parts = values.detach().cpu().split(_CHUNK)
        return tuple(judgement for part in parts for judgement in self._judge(part))

    def _judge(self, values: Float[Tensor, "b 1 ..."]) -> list[Judgement]:
        raw, kinds = self.scorer.raw(features(views(values * self.std + self.mean)))
        scores = self.scale(raw)
        return [
            self.thresholds.judge(float(score.sum()), self._reasons(score, kind))
            for score, kind in zip(scores, kinds, strict=True)
        ]

    def _reasons(self, scores: Float[Tensor, " 2"], kinds: Float[Tensor, " k"]) -> tuple[str, ...]:
        """The kind that the classifier names, where it thinks the picture wrong; else only that it is unlike."""
        if float(scores[1]) < 1:
            return (NOT_LIKE_TRAINING,)
        likeliest = self.scorer.classes.kinds[1 + int(kinds[1:].argmax())]
        named = REASONS.get(likeliest)
        return (NOT_LIKE_TRAINING,) if named is None else (named, NOT_LIKE_TRAINING)

    def state(self) -> dict[str, Tensor]:
        """All its arrays, by name."""
        s = self.scorer
        return {
            "standard.mean": s.standard.mean, "standard.scale": s.standard.scale,
            **s.density.state("density"), **s.coordinates.state("coordinates"),
            "classes.weight": s.classes.weight, "classes.bias": s.classes.bias,
            **self.scale.state(), "references": self.thresholds.references,
        }  # fmt: skip

    def record(self) -> dict[str, Any]:
        """All that is not an array, as JSON types."""
        kinds = list(self.scorer.classes.kinds)
        return {"kinds": kinds, "mean": self.mean, "std": self.std, **self.thresholds.record()}

    @staticmethod
    def restore(state: Mapping[str, Tensor], record: Mapping[str, Any]) -> "PictureGuard":
        """The guard whose state and record these are, to the last bit."""
        scorer = Scorer(
            Standard(state["standard.mean"], state["standard.scale"]),
            Subspace.restore("density", state), Subspace.restore("coordinates", state),
            Classes(tuple(record["kinds"]), state["classes.weight"], state["classes.bias"]),
        )  # fmt: skip
        thresholds = Thresholds.restore(state["references"], record)
        return PictureGuard(scorer, Scale.restore(state), thresholds, float(record["mean"]), float(record["std"]))
