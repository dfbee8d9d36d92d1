"""A trained model at work: artifact and cases in, predictions and attributions out."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from clinimm import artifact
from clinimm.artifact import Provenance
from clinimm.attribution.checked import Care, explain_checked
from clinimm.attribution.explain import METHOD
from clinimm.attribution.trust.limits import Limits
from clinimm.batch import Batch, ModalityBatch, Tokens
from clinimm.calibration import Calibrator
from clinimm.choose import choose
from clinimm.config import Config
from clinimm.config.explain import Explain
from clinimm.data.prepare import Preparer
from clinimm.decision import Decider, Rules, Said, Uncertainty
from clinimm.features.found import Found
from clinimm.features.shelf import Shelf
from clinimm.features.store import Features
from clinimm.guard.gate import admit
from clinimm.guard.guards import Guards
from clinimm.io.sandbox import Sandbox
from clinimm.models.committee import Committee, believed
from clinimm.models.learner import FeatureLearner
from clinimm.models.network import Network
from clinimm.next_input import next_inputs
from clinimm.scores import Scores, members, subsets
from clinimm.types import Abstention, Attribution, Case, Modality, Outlier, Prediction

Model = Network | FeatureLearner | Committee

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
    network: Committee
    calibrator: Calibrator
    uncertainty: Uncertainty
    guards: Guards
    device: torch.device
    provenance: Provenance = field(default_factory=Provenance)
    _absent: dict[str, dict[str, Tokens]] = field(default_factory=dict, init=False, repr=False, compare=False)

    @classmethod
    def load(
        cls,
        directory: Path,
        *,
        device: str = "cpu",
        threads: int = 1,
        sandbox: Sandbox | None = None,
        backbone: Path | None = None,
        features: Features | None = None,
    ) -> "Predictor":
        """The predictor of an artifact directory, after its hashes were checked. `backbone` is where the backbone lies,
        for an artifact that holds only what was trained. `features` keeps what was found in inputs that are known by
        their bytes: the same answers, to the bit, without looking twice. Raises ArtifactError."""
        torch.set_num_threads(threads)
        loaded = artifact.load(directory, sandbox or Sandbox(), backbone)
        network, place = loaded.network.to(device).eval(), torch.device(device)
        shelf = None if features is None else Shelf.of(features, loaded.digest, place)
        return cls(
            loaded.digest, loaded.config, replace(loaded.preparer, shelf=shelf), network, loaded.calibrator,
            loaded.uncertainty, loaded.guards, place, loaded.provenance,
        )  # fmt: skip

    @property
    def modalities(self) -> tuple[Modality, ...]:
        return self.network.modalities

    def predict(self, cases: Sequence[Case]) -> list[Prediction]:
        """One prediction per case, in order. A case with no usable input is abstained from."""
        return [self.answer(case).prediction for case in cases]

    def answer(self, case: Case) -> Answer:
        """The prediction of a case and its point, from one pass."""
        batch, outliers = self.admit(case)
        batch = batch.to(self.device)
        with torch.inference_mode():
            tokens = self._tokens(case, batch)
            output = self.network.fuse(tokens, batch.present, batch.quality)
            singles = self._singles(batch, tokens)
            wanted = next_inputs(self.network, batch, tokens, output, self.calibrator)
        states = {name: part.states[0] for name, part in batch.modalities.items()}
        logits = _numbers(output.logits)
        doubts = (batch.present & ~believed(batch.present, output.trust))[0].tolist()
        doubted = tuple(name for name, one in zip(states, doubts, strict=True) if one)
        decision = self._decider().decide(Said(states, logits, singles, outliers, doubted, case.hold))
        broken = decision.abstained is Abstention.MODEL_UNAVAILABLE
        prediction = Prediction(
            case_id=case.case_id,
            artifact=self.digest,
            targets=decision.targets,
            weights={} if broken else dict(zip(states, output.weights[0].tolist(), strict=True)),
            inputs=states,
            flags=decision.flags,
            abstained=decision.abstained,
            conflict=decision.conflict,
            outliers=outliers,
            next_inputs=() if decision.abstained else wanted,
        )
        return Answer(prediction, None if prediction.abstained else _unit(output.fused[0]))

    def admit(self, case: Case) -> tuple[Batch, Mapping[str, Outlier]]:
        """The case as the model may see it, what the guard blocks hidden, and how odd each input is."""
        batch, outliers = admit(self.guards, self.preparer.prepare(case))
        return batch, outliers[0]

    def explain(
        self, case: Case, target: str | None = None, *, method: str = METHOD, thorough: bool = False
    ) -> list[Attribution]:
        """Why each target (or one) got its logit, tested; `thorough` adds tests that explain again. Empty for a case
        that is held or has no usable input. Raises ConfigError for an unknown target or method."""
        names = self.config.target_names
        chosen = names if target is None else (choose(dict.fromkeys(names, target), target, "target"),)
        batch = self.admit(case)[0].to(self.device)
        if case.hold is not None or not bool(batch.present.any()):
            return []
        asked = {name: names.index(name) for name in chosen}
        return explain_checked(
            self.network, batch, asked, care_of(self.config.explain), method=method, thorough=thorough
        )

    def _tokens(self, case: Case, batch: Batch) -> dict[str, Tokens]:
        """The committee's tokens for the case; those of an input that lies on the shelf are not made again."""
        found = (self._tokens_of(name, part, case) for name, part in batch.modalities.items())
        return {key: tokens for one in found for key, tokens in one.items()}

    def _tokens_of(self, name: str, part: ModalityBatch, case: Case) -> dict[str, Tokens]:
        def encoded() -> dict[str, Tokens]:
            return self.network.tokens_of(name, part, part.present)

        if not bool(part.present[0]):  # zeros of a certain length, of whatever case
            if name not in self._absent:
                self._absent[name] = encoded()
            return self._absent[name]
        shelf = self.preparer.shelf
        if shelf is None:
            return encoded()
        found = shelf.find_or_make("tokens", name, case.inputs[name], lambda: _found(encoded()))
        return _tokens_in(found, self.device)

    def _singles(self, batch: Batch, tokens: Mapping[str, Tokens]) -> dict[str, np.ndarray]:
        """The logits of each present input alone, where there are two or more to compare."""
        used = [i for i, here in enumerate(batch.present[0].tolist()) if here]
        if len(used) < 2:
            return {}
        names, alone = list(batch.modalities), torch.eye(batch.present.shape[1], dtype=torch.bool).to(self.device)
        return {
            names[i]: _numbers(self.network.fuse(tokens, batch.present & alone[i], batch.quality).logits) for i in used
        }

    def _decider(self) -> Decider:
        kinds = {modality.name: modality.kind for modality in self.modalities}
        settings = self.config.decision.model_dump(exclude={"alpha"})
        return Decider(self.config.target_names, kinds, self.calibrator, self.uncertainty, Rules(**settings))


def care_of(section: Explain) -> Care:
    settings = section.model_dump(exclude={"limits", "measured"})
    return Care(**settings, limits=Limits(**section.limits.model_dump()))


def _found(tokens: Mapping[str, Tokens]) -> Found:
    """Tokens by member and modality, fit to be kept."""
    values = {f"{key}.values": one.values for key, one in tokens.items()}
    return Found(values | {f"{key}.mask": one.mask for key, one in tokens.items()})


def _tokens_in(found: Found, device: torch.device) -> dict[str, Tokens]:
    keys = [name.removesuffix(".values") for name in found.tensors if name.endswith(".values")]
    return {key: Tokens(found.tensors[f"{key}.values"], found.tensors[f"{key}.mask"]).to(device) for key in keys}


def _numbers(logits: Tensor) -> np.ndarray:
    """The logits of a single case."""
    return logits[0].double().cpu().numpy()


def _unit(fused: Tensor) -> np.ndarray | None:
    """The vector at length 1, in float32; None where it has no direction."""
    length = fused.double().norm()
    if not bool(torch.isfinite(length)) or float(length) == 0:
        return None
    return (fused.double() / length).float().cpu().numpy()


@torch.inference_mode()
def score_subsets(network: Model, batch: Batch, patient_ids: Sequence[str], target_names: Sequence[str]) -> Scores:
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
def evaluating(network: Model) -> Iterator[None]:
    """Evaluation mode for the length of a block."""
    training = network.training
    network.eval()
    try:
        yield
    finally:
        network.train(training)
