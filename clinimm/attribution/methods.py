"""Maps over the inputs of a case by the method that reports use: all present inputs at once, on one joint path."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain

import torch
from torch import Tensor

from clinimm.attribution.checks import allowed, completeness
from clinimm.attribution.question import Question, seen_at
from clinimm.types import Check, Kind

Maps = dict[str, Tensor]
STRETCHES = 4
"""So many a path begins with: more cost rows that smooth paths do not need, fewer cost calls."""
KEPT = 2**26
"""So many numbers are kept of what was seen along the paths, 256 MB; what finds no room is seen a second time."""


@dataclass(frozen=True)
class Ends:
    """The logits at both ends of the path."""

    baseline_logit: float
    logit: float

    @property
    def change(self) -> float:
        return self.logit - self.baseline_logit


@dataclass(frozen=True)
class Voice:
    """One member before the question: its `part` in the logit, its own logits at both ends."""

    question: Question
    part: float
    ends: Ends


@dataclass(frozen=True)
class Effort:
    """How closely the maps must add up, with at most how many points a member, and how many rows are in memory."""

    tolerance: float
    max_steps: int
    internal_batch_size: int


@dataclass(frozen=True)
class Explained:
    """Signed maps of the inputs in use, in logits and in their modality's shape: words, not word vectors. The member
    with the most points has `steps` of them, and `passes` rows were run, over all members. No `check` where the method
    does not promise to add up."""

    maps: Maps
    steps: int
    passes: int
    check: Check | None


def integrated_gradients(asked: Sequence[Sequence[Voice]], effort: Effort) -> list[Explained]:
    """Integrated gradients of one joint straight path from the baselines to the case, for each member. Of several
    explanations, what is asked of one net is asked at once.

    On every stretch of a member's path its maps must sum to the change of its logit, so the stretches that are furthest
    off, of the member that is, are halved until the whole adds up, and the gaps of all stretches together are small
    beside what the members move: what adds up by luck does not count.

    Source: Sundararajan et al. 2017, eq. 1, by Simpson's rule on each stretch, whose halves use its points again.
    Differs: points lie densest where a net bends, and in the nets that bend, which takes far fewer than doubling them
    all."""
    kept = KEPT // max(1, sum(map(len, asked)))
    walks = [_Walk([_Path(voice, kept) for voice in voices], effort) for voices in asked]
    wanted = [one for walk in walks for one in walk.begun()]
    while wanted:
        _look(wanted, effort.internal_batch_size)
        wanted = [one for walk in walks for one in walk.further()]
    return [walk.explained() for walk in walks]


Method = Callable[[Sequence[Sequence[Voice]], Effort], list[Explained]]
"""Each explanation is asked of its members."""


def one_by_one(method: Callable[[Sequence[Voice], Effort], Explained]) -> Method:
    """A method that explains one at a time."""

    def explained(asked: Sequence[Sequence[Voice]], effort: Effort) -> list[Explained]:
        return [method(voices, effort) for voices in asked]

    return explained


class _Path:
    """One member's path. What was seen at each of its places, in [0, 1]: the logit, by how much it rises along the
    path there, and, of at most `kept` numbers, what each place of each input has to do with that."""

    def __init__(self, voice: Voice, kept: int) -> None:
        self.voice, self.passes = voice, 0
        self.logits: dict[float, float] = {}
        self.rises: dict[float, float] = {}
        self._room = kept
        self._shares: dict[float, Maps] = {}

    def __len__(self) -> int:
        return len(self.logits)

    def note(self, place: float, logit: float, shares: Maps) -> None:
        """Takes down what was seen at a place."""
        self.logits[place] = logit
        self.rises[place] = sum(float(values.sum(dtype=torch.float64)) for values in shares.values())
        size = sum(values.numel() for values in shares.values())
        if size <= self._room:
            self._shares[place], self._room = shares, self._room - size

    def maps(self, stretches: Sequence["_Stretch"], rows: int) -> Maps:
        """The member's maps, as it counts: its shares by Simpson's rule over the stretches that make up its path."""
        weights = dict.fromkeys(self.logits, 0.0)
        for stretch in stretches:
            for place, weight in stretch.weights():
                weights[place] += self.voice.part * weight
        whole: Maps = {}
        forgotten = [([self], place) for place in weights if place not in self._shares]
        again = ((place, shares) for _, place, _, shares in _seen(forgotten, rows))
        for place, shares in chain(self._shares.items(), again):
            for name, values in shares.items():
                share = weights[place] * values
                whole[name] = whole[name] + share if name in whole else share
        return whole


Wanted = tuple[_Path, Sequence[float]]
"""Places of a path that are to be seen."""


class _Walk:
    """One explanation on its way: its members' paths, and the stretches that they are cut into."""

    def __init__(self, paths: Sequence[_Path], effort: Effort) -> None:
        self.paths, self.effort = paths, effort
        self.stretches: list[_Stretch] = []
        self.change = sum(path.voice.part * path.voice.ends.change for path in paths)

    def begun(self) -> list[Wanted]:
        """What is to be seen first."""
        self.stretches = [
            _Stretch(path, i / STRETCHES, (i + 1) / STRETCHES) for path in self.paths for i in range(STRETCHES)
        ]
        return [(path, [i / (2 * STRETCHES) for i in range(2 * STRETCHES + 1)]) for path in self.paths]

    def further(self) -> list[Wanted]:
        """What is to be seen next; nothing once it adds up, or may cost no more."""
        room = self.effort.max_steps * len(self.paths) - sum(map(len, self.paths))
        if room < 2 or not _is_off(self.stretches, self.change, self.effort):
            return []
        worst = _worst(self.stretches)[: room // 2]
        halves = [half for one in worst for half in one.halves()]
        self.stretches = [one for one in self.stretches if one not in worst] + halves
        return [(worst[0].path, [half.middle for half in halves])]

    def explained(self) -> Explained:
        """The maps, all members together."""
        maps: Maps = {}
        for path in self.paths:
            own = [stretch for stretch in self.stretches if stretch.path is path]
            for name, values in path.maps(own, self.effort.internal_batch_size).items():
                maps[name] = maps[name] + values if name in maps else values
        total = sum(float(values.sum(dtype=torch.float64)) for values in maps.values())
        steps, passes = max(map(len, self.paths)), sum(path.passes for path in self.paths)
        return Explained(maps, steps, passes, completeness(total, self.change, self.effort.tolerance))


def _look(wanted: Sequence[Wanted], rows: int) -> None:
    """Sees what is to be seen, net by net; where several targets of a case are asked of at one place, it runs once."""
    points: dict[tuple[int, int, float], list[_Path]] = {}
    for path, places in wanted:
        question = path.voice.question
        for place in places:
            points.setdefault((id(question.network), id(question.batch), place), []).append(path)
    alike: dict[tuple[int, int], list[_Point]] = {}
    for (net, _, place), paths in points.items():
        alike.setdefault((net, len(paths)), []).append((paths, place))
    for some in alike.values():
        for path, place, logit, shares in _seen(some, rows):
            path.note(place, logit, shares)


_Point = tuple[Sequence[_Path], float]
"""The paths of the targets of one case, and a place of theirs."""


def _seen(points: Sequence[_Point], rows: int) -> Iterator[tuple[_Path, float, float, Maps]]:
    """The logit at each point, and what each place of each input adds to its rise along the path there; of one net, so
    many rows at a time, each for as many targets."""
    for start in range(0, len(points), rows):
        here = points[start : start + rows]
        found = seen_at([[path.voice.question for path in paths] for paths, _ in here], [place for _, place in here])
        for (paths, place), of_row in zip(here, found, strict=True):
            for path, (logit, slopes) in zip(paths, of_row, strict=True):
                path.passes += 1
                question = path.voice.question
                yield path, place, logit, {name: _share(question, name, one) for name, one in slopes.items()}


@dataclass(frozen=True)
class _Stretch:
    """A part of a path, seen at both ends and in its middle."""

    path: _Path
    start: float
    end: float

    @property
    def middle(self) -> float:
        return (self.start + self.end) / 2

    def weights(self) -> list[tuple[float, float]]:
        """Simpson's rule: the places and their weights."""
        sixth = (self.end - self.start) / 6
        return [(self.start, sixth), (self.middle, 4 * sixth), (self.end, sixth)]

    @cached_property
    def gap(self) -> float:
        """What the maps sum to over the stretch beyond the change of the logit, as the member counts."""
        total = sum(weight * self.path.rises[place] for place, weight in self.weights())
        return self.path.voice.part * (total - (self.path.logits[self.end] - self.path.logits[self.start]))

    def halves(self) -> tuple["_Stretch", "_Stretch"]:
        """Both halves, of which all but the middles has been seen."""
        return _Stretch(self.path, self.start, self.middle), _Stretch(self.path, self.middle, self.end)


def _worst(stretches: Sequence[_Stretch]) -> list[_Stretch]:
    """Of the member that is furthest off, the stretches that are, the worst first."""
    off: dict[int, float] = {}
    for one in stretches:
        off[id(one.path)] = off.get(id(one.path), 0.0) + one.gap**2
    path = max(off, key=off.__getitem__)
    own = sorted((one for one in stretches if id(one.path) == path), key=lambda one: -abs(one.gap))
    return [one for one in own if abs(one.gap) >= abs(own[0].gap) / 2]


def _share(question: Question, name: str, slope: Tensor) -> Tensor:
    """What each place of an input adds to the rise of the logit along the path, in the input's own shape: word vectors
    are summed to words."""
    kinds = {modality.name: modality.kind for modality in question.network.modalities}
    values = slope * (question.embedded[name] - question.baseline[name])[0]
    return (values.sum(dim=-1) if kinds[name] is Kind.TEXT else values).detach()


def _is_off(stretches: Sequence[_Stretch], change: float, effort: Effort) -> bool:
    """Whether the whole does not add up, or would not but for the luck of stretches that are off either way."""
    gaps = [stretch.gap for stretch in stretches]
    voices = {id(stretch.path): stretch.path.voice for stretch in stretches}.values()
    moved = sum(voice.part * abs(voice.ends.change) for voice in voices)
    spread = sum(gap**2 for gap in gaps) ** 0.5
    return spread > allowed(moved, effort.tolerance) or abs(sum(gaps)) > allowed(change, effort.tolerance)
