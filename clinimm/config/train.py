"""The settings of a training run."""

from collections.abc import Mapping
from typing import Literal

from pydantic import Field, model_validator

from clinimm.config.backbone import BackboneUse
from clinimm.config.decision import Decision
from clinimm.config.explain import Explain
from clinimm.config.inputs import (
    NAME,
    Data,
    ImageInput,
    InputSection,
    Options,
    Section,
    TabularInput,
    Target,
    TextInput,
)
from clinimm.types import Analyte, Kind, Modality


class Model(Section):
    """`width` is the size of every token; `fusion` names one of FUSIONS."""

    width: int = Field(32, ge=2)
    fusion: str = "gate"
    fusion_options: Options = Field(default_factory=dict)
    dropout: float = Field(0.1, ge=0, lt=1)


class Committee(Section):
    """Members of the model: a net per fold of the patients, `folds` of them, each trained without its fold, whose
    answers to it calibrate the whole; with 0, one net, calibrated on a validation part of its own. With `readout`, each
    net's inputs are read a second time by lines fitted on its fold. With `learner`, each fold also has `trees` trees
    over fixed features of the inputs, and `narrow` nets over these, trained for `narrow_epochs`, where they help."""

    folds: int = Field(5, ge=0)
    readout: bool = True
    learner: bool = True
    narrow: int = Field(8, ge=1)
    narrow_epochs: int = Field(150, ge=1)
    trees: int = Field(100, ge=1)


class ModalityDropout(Section):
    """Hide whole inputs in training: none for `quiet` of the steps, rising to `p` at `ramp`. `observed` is the share of
    hidden sets drawn from the cohort's own missing patterns, the rest being uniform non-empty subsets. `spoilt` is how
    often every input is spoilt on purpose, after training, to teach the gate what to doubt."""

    p: float = Field(0.5, ge=0, le=1)
    quiet: float = Field(0.1, ge=0, le=1)
    ramp: float = Field(0.5, ge=0, le=1)
    observed: float = Field(0.5, ge=0, le=1)
    analyte: float = Field(0.15, ge=0, lt=1)
    spoilt: int = Field(4, ge=0)


class Optim(Section):
    """`fusion_lr` and `heads_lr` are the rates of what joins the inputs and of what answers, by default `lr`. With
    `balance` above 0 an encoder whose input leads the others learns slower. `evenness_loss` pulls the gate's weights to
    `evenness` (an entropy, in [0, 1]) at least, less and less up to the share `evenness_until` of the steps."""

    lr: float = Field(1e-3, gt=0)
    fusion_lr: float | None = Field(None, gt=0)
    heads_lr: float | None = Field(None, gt=0)
    weight_decay: float = Field(0.05, ge=0)
    epochs: int = Field(30, ge=1)
    batch_size: int = Field(32, ge=1)
    clip: float = Field(1.0, gt=0)
    warmup: float = Field(0.1, ge=0, lt=1)
    patience: int = Field(8, ge=1)
    unimodal_loss: float = Field(0.3, ge=0)
    balance: float = Field(0.0, ge=0)
    evenness_loss: float = Field(0.0, ge=0)
    evenness: float = Field(0.5, ge=0, le=1)
    evenness_until: float = Field(0.3, ge=0, le=1)


class Run(Section):
    """`mlflow` is the tracking URI of a store that is told of the run, such as "sqlite:///runs/mlflow.db"."""

    seed: int = 0
    device: str = "auto"
    devices: int = Field(1, ge=1)
    precision: Literal["32-true", "bf16-mixed", "16-mixed"] = "32-true"
    threads: int = Field(1, ge=1)
    workers: int = Field(1, ge=0)
    mlflow: str | None = None


class Reference(Section):
    """A published result, quoted beside ours in the evaluation."""

    name: str
    auroc: float
    interval: tuple[float, float] | None = None
    source: str = ""


class Evaluation(Section):
    """`bootstrap` resamples of patients for every interval; `sensitivity` sets the threshold on validation."""

    bootstrap: int = Field(1000, ge=10)
    sensitivity: float = Field(0.9, gt=0, lt=1)
    references: tuple[Reference, ...] = ()


class Config(Section):
    name: str
    data: Data = Data()
    targets: tuple[Target, ...]
    inputs: Mapping[str, InputSection]
    backbone: BackboneUse | None = None
    model: Model = Model()
    committee: Committee = Committee()
    modality_dropout: ModalityDropout = ModalityDropout()
    optim: Optim = Optim()
    run: Run = Run()
    evaluation: Evaluation = Evaluation()
    decision: Decision = Decision()
    explain: Explain = Explain()

    @model_validator(mode="after")
    def _names_are_unique(self) -> "Config":
        if not self.inputs or not self.targets:
            raise ValueError("needs at least one input and one target")
        if len({target.name for target in self.targets}) < len(self.targets):
            raise ValueError("two targets share a name")
        if unfit := [name for name in (*self.inputs, *self.target_names) if not NAME.fullmatch(name)]:
            raise ValueError(f"names are lower-case letters, digits and _: {', '.join(unfit)}")
        if unknown := [name for name in self.decision.required if name not in self.inputs]:
            raise ValueError(f"decision.required names no input: {', '.join(unknown)}")
        return self

    @model_validator(mode="after")
    def _backbone_is_named(self) -> "Config":
        users = [name for name, section in self.inputs.items() if section.encoder.name == "backbone"]
        if users and self.backbone is None:
            raise ValueError(f"the encoder of {', '.join(users)} is a backbone's, but there is no [backbone] path")
        if self.backbone is not None and not users:
            raise ValueError('no input has encoder.name = "backbone", so [backbone] is not used')
        return self

    @property
    def target_names(self) -> tuple[str, ...]:
        return tuple(target.name for target in self.targets)

    @property
    def fused_width(self) -> int:
        """Length of the model's fused vector: those of its nets side by side."""
        return self.model.width * (self.committee.folds if self.committee.folds > 1 else 1)

    def modalities(self) -> tuple[Modality, ...]:
        """The nouns that the inputs declare, in the config's order."""
        return tuple(_modality(name, section) for name, section in self.inputs.items())


def _modality(name: str, section: ImageInput | TextInput | TabularInput) -> Modality:
    if isinstance(section, ImageInput):
        return Modality(name, Kind.IMAGE, (1, *section.size))
    if isinstance(section, TextInput):
        return Modality(name, Kind.TEXT, (section.length,))
    analytes = tuple(Analyte(a.name, a.unit, a.plausible, a.reference) for a in section.analytes)
    return Modality(name, Kind.TABULAR, (len(analytes),), analytes)
