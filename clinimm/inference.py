"""A trained model at work: artifact and cases in, predictions and attributions out."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from clinimm import artifact
from clinimm.attribution.explain import explain
from clinimm.batch import Batch, ModelOutput
from clinimm.calibration import Calibrator, Level
from clinimm.choose import choose
from clinimm.config import Config
from clinimm.data.prepare import Preparer
from clinimm.io.sandbox import Sandbox
from clinimm.models.network import Network
from clinimm.scores import Scores, members, subset_name, subsets
from clinimm.types import Attribution, Case, InputState, Modality, Prediction, Status, TargetPrediction

_ROWS = 64  # cases through the encoders at once when scoring a cohort


@dataclass(frozen=True)
class Answer:
    """A prediction, and where its case lies in the space of the model's fused vectors: a unit vector (e,), comparable
    only with those of the same artifact. None where the case was abstained from."""

    prediction: Prediction
    point: np.ndarray | None


@dataclass(frozen=True)
class Predictor:
    """One artifact, ready to answer. Not safe to share between threads that call it at once."""

    digest: str
    config: Config
    preparer: Preparer
    network: Network
    calibrator: Calibrator
    device: torch.device

    @classmethod
    def load(
        cls,
        directory: Path,
        *,
        device: str = "cpu",
        threads: int = 1,
        sandbox: Sandbox | None = None,
        backbone: Path | None = None,
    ) -> "Predictor":
        """The predictor of an artifact directory, after its hashes were checked. `backbone` is where the backbone lies,
        for an artifact that holds only what was trained. Raises ArtifactError."""
        torch.set_num_threads(threads)
        loaded = artifact.load(directory, sandbox or Sandbox(), backbone)
        network = loaded.network.to(device).eval()
        return cls(loaded.digest, loaded.config, loaded.preparer, network, loaded.calibrator, torch.device(device))

    @property
    def modalities(self) -> tuple[Modality, ...]:
        return self.network.modalities

    def predict(self, cases: Sequence[Case]) -> list[Prediction]:
        """One prediction per case, in order. A case with no usable input is abstained from."""
        return [self.answer(case).prediction for case in cases]

    def answer(self, case: Case) -> Answer:
        """The prediction of a case and its point, from one pass."""
        batch = self.preparer.prepare(case)
        with torch.inference_mode():
            output = self.network(batch.to(self.device))
        prediction = self._prediction(batch, output)
        return Answer(prediction, None if prediction.abstained else _unit(output.fused[0]))

    def explain(self, case: Case, target: str | None = None) -> list[Attribution]:
        """Why each target (or one) got its logit. Empty for a case with no usable input. Raises ConfigError for an
        unknown target."""
        names = self.config.target_names
        chosen = names if target is None else (choose(dict.fromkeys(names, target), target, "target"),)
        batch = self.preparer.prepare(case).to(self.device)
        if not bool(batch.present.any()):
            return []
        return [explain(self.network, batch, names.index(name), target_name=name) for name in chosen]

    def _prediction(self, batch: Batch, output: ModelOutput) -> Prediction:
        states = {name: part.states[0] for name, part in batch.modalities.items()}
        pattern = subset_name([name for name, state in states.items() if state.usable])
        reason = _abstention(pattern, output)
        logits = output.logits.double().cpu().numpy()
        targets = self._abstained(reason) if reason else self._calibrated(logits, pattern)
        levels = {self.calibrator.level(name, pattern) for name in self.config.target_names}
        flags = (
            ()
            if reason or levels <= {Level.OWN, Level.PATTERN}
            else (f"calibration:{max(levels, key=list(Level).index)}",)
        )
        return Prediction(
            case_id=batch.case_ids[0],
            artifact=self.digest,
            targets=targets,
            weights=dict(zip(states, output.weights[0].tolist(), strict=True)) if reason != _BROKEN else {},
            inputs=states,
            flags=_input_flags(states) + flags,
            abstained=reason,
        )

    def _calibrated(self, logits: np.ndarray, pattern: str) -> tuple[TargetPrediction, ...]:
        probabilities = self.calibrator.apply(logits, [pattern])[0]
        intervals = self.calibrator.interval(logits, [pattern])[0]
        rows = zip(self.config.target_names, logits[0], probabilities, intervals, self._thresholds(), strict=True)
        return tuple(
            TargetPrediction(
                target=name,
                probability=float(p),
                interval=None if np.isnan(ends).any() else (float(ends[0]), float(ends[1])),
                threshold=threshold,
                decision=bool(p >= threshold),
                logit=float(logit),
            )
            for name, logit, p, ends, threshold in rows
        )

    def _abstained(self, reason: str) -> tuple[TargetPrediction, ...]:
        return tuple(
            TargetPrediction(name, None, None, threshold, None, None, abstained=reason)
            for name, threshold in zip(self.config.target_names, self._thresholds(), strict=True)
        )

    def _thresholds(self) -> list[float]:
        return [float(value) for value in self.calibrator.thresholds]


def _unit(fused: Tensor) -> np.ndarray | None:
    """The vector at length 1, in float32; None where it has no direction."""
    length = fused.double().norm()
    if not bool(torch.isfinite(length)) or float(length) == 0:
        return None
    return (fused.double() / length).float().cpu().numpy()


_BROKEN = "model_unavailable"


def _abstention(pattern: str, output: ModelOutput) -> str | None:
    """Why there is no answer, from the closed list of reasons; None if there is one."""
    if not pattern:
        return "no_usable_input"
    return None if bool(torch.isfinite(output.logits).all()) else _BROKEN


def _input_flags(states: dict[str, InputState]) -> tuple[str, ...]:
    """`missing:labs`, `unreadable:cxr`, ... for what is not used, and what was noticed in what is."""
    words = {Status.ABSENT: "missing"}
    unused = [f"{words.get(s.status, s.status.value)}:{name}" for name, s in states.items() if not s.usable]
    return (*unused, *(flag for state in states.values() for flag in state.flags))


@torch.inference_mode()
def score_subsets(network: Network, batch: Batch, patient_ids: Sequence[str], target_names: Sequence[str]) -> Scores:
    """Logits of every subset of the inputs, the encoders run once per case. The network's mode is put back."""
    names = tuple(m.name for m in network.modalities)
    chosen = subsets(names)
    logits: dict[str, list[Tensor]] = {subset: [] for subset in chosen}
    with evaluating(network):
        for start in range(0, len(batch), _ROWS):
            part = batch.rows(torch.arange(start, min(start + _ROWS, len(batch)))).to(network.prior.device)
            tokens = network.tokens(part, part.present)
            for subset in chosen:
                keep = torch.tensor([name in members(subset) for name in names], device=part.present.device)
                logits[subset].append(network.fuse(tokens, part.present & keep, part.quality).logits.float().cpu())
    targets = torch.where(batch.target_mask, batch.targets, torch.nan)
    return Scores(
        case_ids=batch.case_ids,
        patient_ids=tuple(patient_ids),
        target_names=tuple(target_names),
        modalities=names,
        targets=targets.numpy().astype(float),
        present=batch.present.numpy(),
        logits={subset: torch.cat(rows).numpy().astype(float) for subset, rows in logits.items()},
    )


@contextmanager
def evaluating(network: Network) -> Iterator[None]:
    """Evaluation mode for the length of a block."""
    training = network.training
    network.eval()
    try:
        yield
    finally:
        network.train(training)
