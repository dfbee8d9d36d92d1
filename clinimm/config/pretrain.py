"""The settings of a pretraining run: an image tower and a text tower to one space, labels or not."""

from collections.abc import Mapping
from typing import Literal

from pydantic import Field, model_validator

from clinimm.config.backbone import BackboneUse
from clinimm.config.inputs import NAME, Data, Options, Picture, Section, Written
from clinimm.config.train import Run


class Tower(Section):
    """A tower made anew: `name` is one of the towers', `options` go to its constructor."""

    name: str
    options: Options = Field(default_factory=dict)


class PretrainImage(Picture):
    augment: bool = True
    tower: Tower | None = None


class PretrainText(Written):
    tower: Tower | None = None


class PretrainData(Data):
    """`folds` keeps only the cases of these values of `fold_column`. `labels` are columns that hold an observation's
    label (1, 0, nothing for unknown), by the observation's name, beside what is read from the text."""

    folds: tuple[str, ...] = ()
    labels: Mapping[str, str] = {}


class Space(Section):
    """The space both towers project to. `temperature` is where the learned one starts."""

    width: int = Field(128, ge=2)
    temperature: float = Field(0.07, gt=0.01, le=1)


class Objectives(Section):
    """The weight of each objective in the loss; 0 turns it off. `similarity` and `target_temperature` make the soft
    targets of `semantic`: "dot" as MedCLIP's code does, "cosine" as its paper says."""

    info_nce: float = Field(1.0, ge=0)
    semantic: float = Field(0.0, ge=0)
    sigmoid: float = Field(0.0, ge=0)
    matching: float = Field(0.0, ge=0)
    reconstruction: float = Field(0.0, ge=0)
    masked_words: float = Field(0.0, ge=0)
    masked_patches: float = Field(0.0, ge=0)
    similarity: Literal["dot", "cosine"] = "cosine"
    target_temperature: float = Field(0.1, gt=0)
    word_share: float = Field(0.15, gt=0, lt=1)
    patch_share: float = Field(0.5, gt=0, lt=1)
    patch: int = Field(16, ge=1)


class Sampling(Section):
    """What text stands beside a picture in a step: its whole text or, for the share `sentence`, one sentence of it; for
    the share `decoupled`, a sentence of any text at all. `prompts`: a picture that has labels but no text gets a prompt
    drawn for one of its findings."""

    sentence: float = Field(0.5, ge=0, le=1)
    decoupled: float = Field(0.0, ge=0, le=1)
    prompts: bool = False


class PretrainOptim(Section):
    """`batch_size` is that of all processes together, `micro_batch` what one process runs at once: where it is smaller
    than the process's share, gradients are cached."""

    lr: float = Field(1e-3, gt=0)
    weight_decay: float = Field(0.05, ge=0)
    epochs: int = Field(30, ge=1)
    batch_size: int = Field(64, ge=1)
    micro_batch: int | None = Field(None, ge=1)
    clip: float = Field(1.0, gt=0)
    warmup: float = Field(0.1, ge=0, lt=1)


class PretrainRun(Run):
    """How many processes there are is torchrun's to say. `strategy` joins them: "ddp" copies the weights, "fsdp" shards
    them."""

    precision: Literal["32-true", "bf16-mixed"] = "32-true"
    strategy: Literal["ddp", "fsdp"] = "ddp"


class PretrainConfig(Section):
    """`backbone` is where to start from; a tower it has needs no `tower`. `findings` extends the reader of findings:
    patterns by observation."""

    name: str
    data: PretrainData = PretrainData()
    image: PretrainImage
    text: PretrainText
    backbone: BackboneUse | None = None
    space: Space = Space()
    objectives: Objectives = Objectives()
    sampling: Sampling = Sampling()
    findings: Mapping[str, tuple[str, ...]] = {}
    optim: PretrainOptim = PretrainOptim()
    run: PretrainRun = PretrainRun()

    @model_validator(mode="after")
    def _can_start(self) -> "PretrainConfig":
        if not NAME.fullmatch(self.name):
            raise ValueError(f"names are lower-case letters, digits and _: {self.name}")
        if self.backbone is None and (self.image.tower is None or self.text.tower is None):
            raise ValueError("needs image.tower and text.tower, or a backbone to start from")
        if self.data.folds and not self.data.fold_column:
            raise ValueError("data.folds needs data.fold_column")
        return self
