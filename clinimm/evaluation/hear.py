"""What one artifact, and the opponents of its training patients, say of cases that it has not seen."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float
from rich.console import Console

from clinimm.attribution.checked import Care
from clinimm.batch import Batch
from clinimm.data.prepare import prepare_all
from clinimm.evaluation.answers import Answers, attributes_of
from clinimm.evaluation.corruption import Corrupted, corrupt
from clinimm.evaluation.embeddings import networks_of, spaces_of
from clinimm.evaluation.faithfulness import Measured, measure, sample
from clinimm.evaluation.opponents import Opinions, opponents_to_train, train_opponents
from clinimm.evaluation.plain import plain_cases
from clinimm.evaluation.probes.ask import Probed, probe
from clinimm.evaluation.probes.shortcuts import Sight, Sizes
from clinimm.guard.gate import admit
from clinimm.inference import Predictor, care_of, evaluating, score_subsets
from clinimm.progress import progress_bar
from clinimm.pseudonyms import hashed
from clinimm.scores import patterns, subset_name
from clinimm.types import Case


@dataclass(frozen=True)
class Heard:
    """One artifact's part: `thresholds` are its own; what was not asked for is None or empty."""

    name: str
    digest: str
    thresholds: Float[np.ndarray, " k"]
    answers: Answers
    opinions: Opinions | None
    probed: Probed | None
    corrupted: tuple[Corrupted, ...]
    measured: Measured | None


def hear(
    predictor: Predictor,
    unseen: Sequence[Case],
    seen: Sequence[Case],
    label: str,
    *,
    held_out: Sequence[Collection[str]] = (),
    opponents: bool = False,
    sizes: Sizes | None = None,
    whole: bool = False,
    seed: int = 0,
    console: Console | None = None,
) -> Heard:
    """The answers to the unseen cases. `held_out` has, for each network of a committee, hashes of the patients that it
    was not trained on. Opponents and, with the stored `sizes` of all pictures, probes of shortcuts are
    trained on the seen ones; `whole` asks about spoilt inputs
    and faithfulness too."""
    asked = read(predictor, unseen, label, console)
    taught = read(predictor, seen, f"{label}, seen", console) if opponents or sizes is not None else None
    return Heard(
        name=predictor.config.name,
        digest=predictor.digest,
        thresholds=predictor.calibrator.thresholds,
        answers=ask(predictor, unseen, asked),
        opinions=_opinions(predictor, held_out, (seen, taught), (unseen, asked), seed, label, console)
        if opponents and taught
        else None,
        probed=_probed(predictor, (seen, taught), (unseen, asked), sizes, seed)
        if taught and sizes is not None
        else None,
        corrupted=_spoilt(predictor, unseen, asked, seed) if whole else (),
        measured=_sampled(predictor, unseen, asked, label, seed, console) if whole else None,
    )


def read(predictor: Predictor, cases: Sequence[Case], label: str, console: Console | None = None) -> Batch:
    """The cases, prepared as the model wants them."""
    with progress_bar(console) as bar:
        task = bar.add_task(f"read {label}", total=len(cases), note="")
        return prepare_all(predictor.preparer, cases, on_done=lambda _: bar.advance(task))


def ask(predictor: Predictor, cases: Sequence[Case], batch: Batch) -> Answers:
    """What a model says of cases, for every subset of their inputs."""
    ids = [case.patient_id for case in cases]
    scores = score_subsets(predictor.network, batch, ids, predictor.config.target_names)
    attributes = attributes_of(cases, predictor.config.data.attributes)
    return Answers.of(scores, predictor.calibrator, attributes, predictor.uncertainty.conformal)


def _sampled(
    predictor: Predictor, cases: Sequence[Case], batch: Batch, label: str, seed: int, console: Console | None
) -> Measured | None:
    """What the explanations of a sample of the cases are worth, as patients would get them: of what the guards let
    through. None where the config asks for none."""
    count = predictor.config.explain.measured
    if not count:
        return None
    seen = admit(predictor.guards, batch)[0]
    ids = [case.patient_id for case in cases]
    rows = sample(seen.present.numpy(), ids, count, seed=seed)
    return explained(predictor, seen, ids, rows, care_of(predictor.config.explain), label, seed, console)


def explained(
    predictor: Predictor, batch: Batch, ids: Sequence[str], rows: Sequence[int], care: Care, label: str, seed: int,
    console: Console | None = None,
) -> Measured:  # fmt: skip
    """What the explanations of these rows of the batch are worth."""
    names = predictor.config.target_names
    return measure(predictor.network, batch, ids, rows, names, care, seed=seed, label=label, console=console)


def _spoilt(predictor: Predictor, cases: Sequence[Case], batch: Batch, seed: int) -> tuple[Corrupted, ...]:
    names = [modality.name for modality in predictor.modalities]

    def probabilities(logits: Float[np.ndarray, "n k"], present: Bool[np.ndarray, "n m"]) -> Float[np.ndarray, "n k"]:
        return predictor.calibrator.apply(logits, patterns(present, subset_name(names), names))

    ids = [case.patient_id for case in cases]
    with evaluating(predictor.network):
        return corrupt(predictor.network, batch, ids, probabilities, looks=predictor.preparer.looks, seed=seed)


def _opinions(
    predictor: Predictor,
    held_out: Sequence[Collection[str]],
    taught: tuple[Sequence[Case], Batch],
    asked: tuple[Sequence[Case], Batch],
    seed: int,
    label: str,
    console: Console | None,
) -> Opinions:
    train, test = (plain_cases(cases, batch, predictor.modalities) for cases, batch in (taught, asked))
    networks = networks_of(predictor.network)
    patients = [hashed(patient) for patient in train.patient_ids]
    spaces = spaces_of(networks, held_out or [()] * len(networks), taught[1], patients, asked[1])
    with progress_bar(console) as bar:
        task = bar.add_task(f"opponents of {label}", total=opponents_to_train(train), note="")

        def started(name: str) -> None:
            bar.update(task, advance=1, note=name)

        sensitivity = predictor.config.evaluation.sensitivity
        return train_opponents(train, test, sensitivity=sensitivity, seed=seed, progress=started, spaces=spaces)


def _probed(
    predictor: Predictor,
    taught: tuple[Sequence[Case], Batch],
    asked: tuple[Sequence[Case], Batch],
    sizes: Sizes,
    seed: int,
) -> Probed:
    train, test = (
        Sight(cases, batch, plain_cases(cases, batch, predictor.modalities)) for cases, batch in (taught, asked)
    )
    targets = predictor.config.target_names
    with evaluating(predictor.network):
        return probe(predictor.network, predictor.calibrator, train, test, target_names=targets, sizes=sizes, seed=seed)
