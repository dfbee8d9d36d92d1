"""Which rows a step sees. All that is random comes from (seed, epoch, step), so every process draws the same whole
batch and then takes its own part; how many processes there are changes nothing."""

import hashlib
import math
from collections.abc import Iterator
from dataclasses import dataclass, fields, replace

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from clinimm.data.augment import draw_shakes
from clinimm.pretraining.corpus import NONE, Corpus
from clinimm.pretraining.masked import mask_patches, mask_words


@dataclass(frozen=True)
class Hiding:
    """What masked modeling hides: shares of the words and of the blocks of side `patch`; 0 where it is off."""

    words: float = 0.0
    special_ids: tuple[int, ...] = ()
    mask_id: int = 0
    vocabulary: int = 0
    patches: float = 0.0
    patch: int = 16


@dataclass(frozen=True)
class Habits:
    """What stands beside a picture (see the config's `sampling`), whether pictures are shaken, and what is hidden."""

    sentence: float = 0.5
    decoupled: float = 0.0
    prompts: bool = False
    shake: bool = True
    hiding: Hiding = Hiding()


@dataclass(frozen=True)
class Draw:
    """Rows of a step, as places in a Corpus. A row holds a picture, a text, or both, or neither where it only fills up
    a process's part."""

    cases: Int[Tensor, " b"]
    """Whose picture it is and what is known of it; NONE for a row that fills up."""
    pictures: Int[Tensor, " b"]
    texts: Int[Tensor, " b"]
    paired: Bool[Tensor, " b"]
    shakes: Float[Tensor, "b s"] | None = None
    corrupted: Int[Tensor, "b n"] | None = None
    """The text with words hidden, and where."""
    chosen: Bool[Tensor, "b n"] | None = None
    covered: Bool[Tensor, "b ..."] | None = None
    """Pixels to hide."""

    def __len__(self) -> int:
        return len(self.cases)

    def part(self, start: int, stop: int) -> "Draw":
        """Rows from `start` to `stop`; those past the end hold neither picture nor text."""
        real = {f.name: value[start:stop] for f in fields(self) if (value := getattr(self, f.name)) is not None}
        lacking = stop - start - len(real["cases"])
        return replace(self, **{name: _filled(value, lacking, name) for name, value in real.items()})


def _filled(values: Tensor, rows: int, name: str) -> Tensor:
    empty = NONE if name in ("cases", "pictures", "texts") else 0
    return torch.cat([values, values.new_full((rows, *values.shape[1:]), empty)])


def seed_of(*numbers: int) -> int:
    """A seed that only these numbers tell: near ones give seeds that have nothing in common."""
    return int.from_bytes(hashlib.sha256(repr(numbers).encode()).digest()[:6], "big")


def generator_of(*numbers: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed_of(*numbers))


def steps_of(cases: int, batch_size: int) -> int:
    return math.ceil(cases / batch_size)


def draws(corpus: Corpus, habits: Habits, batch_size: int, seed: int, epoch: int) -> Iterator[Draw]:
    """Every case of the corpus once, in parts that differ by at most one row: a last batch of a few rows would have
    next to no negatives."""
    order = torch.randperm(len(corpus), generator=generator_of(seed, epoch))
    for step, cases in enumerate(order.tensor_split(steps_of(len(corpus), batch_size))):
        yield draw(corpus, cases, habits, generator_of(seed, epoch, step))


def draw(corpus: Corpus, cases: Int[Tensor, " b"], habits: Habits, generator: torch.Generator) -> Draw:
    """A row for each of the cases: its picture, and a text as `habits` say.

    A sentence drawn from any text at all is never called a pair, even if it happens to be the picture's own; no more
    is a prompt, which speaks of a finding and not of a study."""
    u = torch.rand(7, len(cases), generator=generator, dtype=torch.float64)
    pictures = corpus.picture[cases]
    one = _pick(corpus.sentences[cases], u[0])
    texts = torch.where((u[1] < habits.sentence) & (one != NONE), one, corpus.whole[cases])
    paired = (pictures != NONE) & (texts != NONE)
    if habits.prompts:
        prompt = _prompt(corpus, cases, u[2], u[3])
        texts = torch.where((texts == NONE) & (pictures != NONE), prompt, texts)
    anyone = _pick(torch.tensor(corpus.every_sentence).expand(len(cases), 2), u[4])
    apart = (u[5] < habits.decoupled) & (pictures != NONE) & (anyone != NONE)
    rows = Draw(cases, pictures, torch.where(apart, anyone, texts), paired & ~apart)
    return _hidden(rows, corpus, habits, generator)


def _hidden(rows: Draw, corpus: Corpus, habits: Habits, generator: torch.Generator) -> Draw:
    """The rows with what is drawn to shake and to hide."""
    hiding, shape = habits.hiding, (len(rows), *corpus.pixels.shape[1:])
    if habits.shake:
        rows = replace(rows, shakes=draw_shakes(len(rows), len(shape) - 2, generator))
    if hiding.words:
        ids, mask = pieces(corpus, rows.texts)
        corrupted, chosen = mask_words(
            ids, mask, hiding.special_ids, hiding.mask_id, hiding.vocabulary, generator, hiding.words
        )
        rows = replace(rows, corrupted=corrupted, chosen=chosen)
    if hiding.patches:
        covered = mask_patches(shape, hiding.patch, generator, hiding.patches)
        none = (rows.pictures == NONE).view(-1, *(1 for _ in shape[2:]))
        rows = replace(rows, covered=covered & ~none)
    return rows


def plain(corpus: Corpus, cases: Int[Tensor, " b"], hiding: Hiding, generator: torch.Generator) -> Draw:
    """Each case with its own picture and its whole own text, not shaken: what validation looks at."""
    return draw(corpus, cases, Habits(sentence=0.0, shake=False, hiding=hiding), generator)


def pieces(corpus: Corpus, texts: Int[Tensor, " b"]) -> tuple[Int[Tensor, "b n"], Bool[Tensor, "b n"]]:
    """Word pieces of the texts and which are real; none where there is no text."""
    rows = texts.clamp_min(0)
    if not len(corpus.texts.ids):
        n = corpus.texts.ids.shape[1]
        return torch.zeros(len(texts), n, dtype=torch.long), torch.zeros(len(texts), n, dtype=torch.bool)
    return corpus.texts.ids[rows], corpus.texts.mask[rows] & (texts != NONE)[:, None]


def _pick(ranges: Int[Tensor, "b 2"], u: Float[Tensor, " b"]) -> Int[Tensor, " b"]:
    """A place within each range, NONE in an empty one."""
    first, past = ranges.unbind(1)
    return torch.where(past > first, first + (u * (past - first)).long(), NONE)


def _prompt(
    corpus: Corpus, cases: Int[Tensor, " b"], u: Float[Tensor, " b"], v: Float[Tensor, " b"]
) -> Int[Tensor, " b"]:
    """A prompt of one of each case's findings, NONE where it has none that there are prompts for."""
    fit = (corpus.labels[cases] > 0) & (corpus.prompts[:, 1] > corpus.prompts[:, 0])
    number = fit.sum(1)
    wanted = (u * number).long()[:, None]
    chosen = (fit & (fit.cumsum(1) == wanted + 1)).long().argmax(1)
    return torch.where(number > 0, _pick(corpus.prompts[chosen], v), NONE)
