"""A run's settings: TOML read once into frozen sections that forbid unknown keys.

Modules never see a section: builders unpack it into plain arguments."""

import json
import re
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from clinimm.errors import ConfigError
from clinimm.types import Analyte, Kind, Modality

Options = Mapping[str, Any]
_NAME = re.compile("[a-z][a-z0-9_]*")


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Target(Section):
    """A yes-no question. `column` holds 1/0, true/false or nothing where the answer is unknown."""

    name: str
    column: str = ""

    @model_validator(mode="before")
    @classmethod
    def _column_defaults_to_name(cls, values: Any) -> Any:
        return {"name": values} if isinstance(values, str) else values

    @property
    def source(self) -> str:
        return self.column or self.name


class Encoder(Section):
    """Which net encodes a modality. `pretrained` is a local directory (text) or safetensors file (image);
    `options` go to the net's constructor."""

    name: str
    pretrained: Path | None = None
    dropout: float = Field(0.1, ge=0, lt=1)
    options: Options = {}


class ImageInput(Section):
    """A film or a volume. `size` is (h, w) or (h, w, d). `window` is "voi" (what the file asks for), "full" (the whole
    range of the pixels) or (center, width) in modality units, such as HU. `mean` and `std` standardize the windowed
    pixels, which lie in [0, 1]."""

    kind: Literal["image"] = "image"
    column: str
    time_column: str | None = None
    size: tuple[int, int] | tuple[int, int, int]
    window: Literal["voi", "full"] | tuple[float, float] = "voi"
    spacing_mm: tuple[float, float, float] | None = None
    crop_columns: tuple[str, str, str, str] | None = None
    mean: float = 0.5
    std: float = Field(0.25, gt=0)
    augment: bool = True
    encoder: Encoder


class TextInput(Section):
    """A note, in the column itself or, with `files`, in a file that the column names."""

    kind: Literal["text"] = "text"
    column: str
    time_column: str | None = None
    files: bool = False
    length: int = Field(128, ge=8, le=4096)
    vocabulary: int = Field(2000, ge=64)
    encoder: Encoder


class AnalyteColumn(Section):
    """`unit` is the column's UCUM unit and the one the model sees."""

    name: str
    unit: str
    column: str = ""
    plausible: tuple[float, float] | None = None
    reference: tuple[float, float] | None = None

    @property
    def source(self) -> str:
        return self.column or self.name


class TabularInput(Section):
    kind: Literal["tabular"] = "tabular"
    time_column: str | None = None
    analytes: tuple[AnalyteColumn, ...]
    encoder: Encoder


InputSection = Annotated[ImageInput | TextInput | TabularInput, Field(discriminator="kind")]


class Split(Section):
    """Fractions of patients. A manifest with a `split` column (train, val, test) needs none."""

    val: float = Field(0.15, gt=0, lt=1)
    test: float = Field(0.2, gt=0, lt=1)
    seed: int = 0


class Data(Section):
    """Where the cases are; column names are the manifest's. `attributes` are kept with a case and never fed in."""

    manifest: Path = Path("manifest.csv")
    case_id: str = "case_id"
    patient_id: str = "patient_id"
    index_time: str | None = None
    split_column: str | None = None
    fold_column: str | None = None
    attributes: tuple[str, ...] = ()
    split: Split = Split()


class Model(Section):
    """`width` is the size of every token; `fusion` names one of FUSIONS."""

    width: int = Field(32, ge=2)
    fusion: str = "gate"
    fusion_options: Options = {}
    dropout: float = Field(0.1, ge=0, lt=1)


class ModalityDropout(Section):
    """Hide whole inputs in training: none for `quiet` of the steps, rising to `p` at `ramp`. `observed` is the share of
    hidden sets drawn from the cohort's own missing patterns, the rest being uniform non-empty subsets."""

    p: float = Field(0.5, ge=0, le=1)
    quiet: float = Field(0.1, ge=0, le=1)
    ramp: float = Field(0.5, ge=0, le=1)
    observed: float = Field(0.5, ge=0, le=1)
    analyte: float = Field(0.15, ge=0, lt=1)


class Optim(Section):
    lr: float = Field(1e-3, gt=0)
    weight_decay: float = Field(0.05, ge=0)
    epochs: int = Field(30, ge=1)
    batch_size: int = Field(32, ge=1)
    clip: float = Field(1.0, gt=0)
    warmup: float = Field(0.1, ge=0, lt=1)
    patience: int = Field(8, ge=1)
    unimodal_loss: float = Field(0.3, ge=0)


class Run(Section):
    seed: int = 0
    device: str = "auto"
    devices: int = Field(1, ge=1)
    precision: Literal["32-true", "bf16-mixed", "16-mixed"] = "32-true"
    threads: int = Field(1, ge=1)
    workers: int = Field(1, ge=0)


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
    model: Model = Model()
    modality_dropout: ModalityDropout = ModalityDropout()
    optim: Optim = Optim()
    run: Run = Run()
    evaluation: Evaluation = Evaluation()

    @model_validator(mode="after")
    def _names_are_unique(self) -> "Config":
        if not self.inputs or not self.targets:
            raise ValueError("needs at least one input and one target")
        if len({target.name for target in self.targets}) < len(self.targets):
            raise ValueError("two targets share a name")
        if unfit := [name for name in (*self.inputs, *self.target_names) if not _NAME.fullmatch(name)]:
            raise ValueError(f"names are lower-case letters, digits and _: {', '.join(unfit)}")
        return self

    @property
    def target_names(self) -> tuple[str, ...]:
        return tuple(target.name for target in self.targets)

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


def load(path: Path, overrides: Sequence[str] = ()) -> Config:
    """The config in a TOML file, after `section.key=value` overrides (TOML values, or bare words for strings).

    Raises ConfigError that lists every fault."""
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError("cannot be read", where=str(path), mend="give the path of a TOML file") from error
    except ValueError as error:
        raise ConfigError(f"is not TOML: {error}", where=str(path)) from error
    for override in overrides:
        _override(values, override)
    return parse(values, where=str(path))


def parse(values: Mapping[str, Any], where: str) -> Config:
    """The config in plain values, as `load` and an artifact hold it. Raises ConfigError that lists every fault."""
    try:
        return Config.model_validate(values)
    except ValidationError as error:
        faults = "\n".join(
            f"  {'.'.join(str(part) for part in fault['loc']) or 'config'}: {fault['msg']}" for fault in error.errors()
        )
        raise ConfigError(f"{error.error_count()} fault(s)\n{faults}", where=where) from error


def dump(config: Config) -> str:
    """The config as JSON: the form that is hashed and kept in an artifact. Keys keep their order, since that of the
    inputs is the order of the model's modalities."""
    return json.dumps(config.model_dump(mode="json"), indent=2)


def _override(values: dict[str, Any], override: str) -> None:
    path, separator, raw = override.partition("=")
    if not separator:
        raise ConfigError(f"{override!r} has no '='", where="--set", mend="write section.key=value")
    *sections, key = path.strip().split(".")
    for section in sections:
        values = values.setdefault(section, {})
        if not isinstance(values, dict):
            raise ConfigError(f"{section!r} is not a section", where=f"--set {path}")
    values[key] = _toml_value(raw.strip())


def _toml_value(raw: str) -> Any:
    try:
        return tomllib.loads(f"value = {raw}")["value"]
    except tomllib.TOMLDecodeError:
        return raw
