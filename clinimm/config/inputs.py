"""Sections that say where the cases are and what an input is."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

Options = Mapping[str, Any]
NAME = re.compile("[a-z][a-z0-9_]*")


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


class Resampler(Section):
    """Learned queries that read a tower's tokens and stand in their place: `queries` of them."""

    queries: int = Field(16, ge=1)
    layers: int = Field(1, ge=1)
    heads: int = Field(4, ge=1)


MaxAge = Annotated[float | None, Field(gt=0)]
"""Hours before the index time: what was acquired earlier than that is stale, and not used."""


class Encoder(Section):
    """Which net encodes a modality. "backbone" is the tower of the run's backbone. `pretrained` is a local directory
    (text) or safetensors file (image); `options` go to the net's constructor. The inputs' defaults, "eigen", "bag" and
    "analytes", are for cohorts of hundreds; more films can teach a deeper net. "completed" keeps from a net which
    analytes are missing; from few sparse panels it learns less."""

    name: str
    pretrained: Path | None = None
    dropout: float = Field(0.1, ge=0, lt=1)
    options: Options = {}
    resampler: Resampler | None = None


class Watch(Section):
    """Which inputs count as odd: as many as a share `flags` of the valid ones."""

    enabled: bool = True
    flags: float = Field(0.05, gt=0, lt=0.5)


class Guard(Watch):
    """Wrong pictures, told from the pixels: a share `false_blocks` of the valid ones may be refused, and `flags` be
    refused or flagged. With `column`, an attribute of the cases, only the films with one of the values `accept` are
    valid, and the others show the guard what is not."""

    false_blocks: float = Field(0.01, gt=0, lt=0.5)
    column: str | None = None
    accept: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _flags_what_it_blocks(self) -> "Guard":
        if self.false_blocks > self.flags:
            raise ValueError("false_blocks is a part of flags, and cannot be more")
        if (self.column is None) != (not self.accept):
            raise ValueError("column and accept go together")
        return self


class Picture(Section):
    """A film or a volume. `size` is (h, w) or (h, w, d). `window` is "voi" (what the file asks for), "full" (the whole
    range of the pixels) or (center, width) in modality units, such as HU."""

    column: str
    time_column: str | None = None
    size: tuple[int, int] | tuple[int, int, int]
    window: Literal["voi", "full"] | tuple[float, float] = "voi"
    spacing_mm: tuple[float, float, float] | None = None
    crop_columns: tuple[str, str, str, str] | None = None


class Written(Section):
    """A note, in the column itself or, with `files`, in a file that the column names."""

    column: str
    time_column: str | None = None
    files: bool = False
    length: int = Field(128, ge=8, le=4096)
    vocabulary: int = Field(2000, ge=64)


class ImageInput(Picture):
    """`mean` and `std` standardize the windowed pixels, which lie in [0, 1]."""

    kind: Literal["image"] = "image"
    mean: float = 0.5
    std: float = Field(0.25, gt=0)
    augment: bool = True
    max_age_hours: MaxAge = None
    guard: Guard = Guard()
    encoder: Encoder = Encoder(name="eigen")


class TextInput(Written):
    kind: Literal["text"] = "text"
    max_age_hours: MaxAge = None
    guard: Watch = Watch()
    encoder: Encoder = Encoder(name="bag")


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
    max_age_hours: MaxAge = None
    guard: Watch = Watch()
    encoder: Encoder = Encoder(name="analytes")


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
