"""How an input looks, in a few numbers that the gate reads beside the input itself, by kind of input.

All are finite and of order one but the age, which is in days. The last two of every kind are `age_days`, the days from
acquisition to the question (0 where unknown), and `age_unknown` (1 or 0): a decay with the age is the model's to
learn. What is absent has zeros only."""

from clinimm.data.quality.age import AGE
from clinimm.data.quality.note import NOTE
from clinimm.data.quality.panel import PANEL
from clinimm.data.quality.picture import PICTURE
from clinimm.types import Kind

QUALITIES: dict[Kind, tuple[str, ...]] = {
    Kind.IMAGE: (*PICTURE, *AGE),
    Kind.TEXT: (*NOTE, *AGE),
    Kind.TABULAR: (*PANEL, *AGE),
}
