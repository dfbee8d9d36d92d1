"""Names of weights there <-> names here: rules that read the same both ways, and the conversion that they make.

In a pattern `*` stands for one part between dots and `**` for one or more parts; the first star of one side is the
first of the other. The first rule that matches a name wins. So a rule can be undone, and a missing weight be called
by the name that its own family gives it."""

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from jaxtyping import Shaped
from torch import Tensor

from clinimm.errors import BackboneError

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Rename:
    """A tensor named `there` in the checkpoint is `here` in `tower`: "image", "text", or "joint" for what both share.

    Several names `here` are equal parts of it along axis 0, such as a fused query, key and value. `reshape` allows
    another shape of as many values in the same order, such as a position table with a leading axis of 1. A checkpoint
    may lack an `optional` one, such as a counter that older versions did not keep: the tower's own value stands."""

    there: str
    tower: str
    here: str | tuple[str, ...]
    reshape: bool = False
    optional: bool = False

    @property
    def names(self) -> tuple[str, ...]:
        """The patterns here."""
        return (self.here,) if isinstance(self.here, str) else self.here


@dataclass(frozen=True)
class Leave:
    """A tensor named `there` that no tower uses, and why. It is kept for export."""

    there: str
    reason: str


Rule = Rename | Leave


@dataclass(frozen=True)
class Converted:
    """Weights by tower under our names; `used` says, for each name there, all that export needs to undo it; `left` are
    the tensors that no tower uses, by their names there, with the reason. `lacking` are names there of optional weights
    that the checkpoint has not."""

    weights: Mapping[str, Mapping[str, Tensor]]
    used: Mapping[str, Mapping[str, Any]]
    left: Mapping[str, tuple[Tensor, str]]
    lacking: Sequence[str] = ()


def convert(
    tensors: Mapping[str, Tensor],
    rules: Sequence[Rule],
    expected: Mapping[str, Mapping[str, Tensor]],
    where: str = "checkpoint",
) -> Converted:
    """The tensors as the weights of towers, whose own state dicts `expected` gives shapes and types by tower.

    Raises BackboneError with every key that is missing, misshapen, unexpected, doubled or does not survive the
    tower's number type, by its name there, one a line."""
    weights: dict[str, dict[str, Tensor]] = {tower: {} for tower in expected}
    used: dict[str, dict[str, Any]] = {}
    left: dict[str, tuple[Tensor, str]] = {}
    faults: list[str] = []
    named: set[tuple[str, str]] = set()  # a weight whose tensor is at fault is not called missing as well
    for name, tensor in tensors.items():
        rule, stars = _rule(name, rules)
        if isinstance(rule, Leave):
            left[name] = (tensor, rule.reason)
            continue
        own = [] if rule is None else [_fill(pattern, stars) for pattern in rule.names]
        parts = [] if rule is None else [expected[rule.tower][n] for n in own if n in expected.get(rule.tower, {})]
        if rule is None or len(parts) < len(own):
            faults.append(f"unexpected: {name} {_shape(tensor)}")
            continue
        twice = any((rule.tower, n) in named for n in own)
        named |= {(rule.tower, n) for n in own}
        if fault := "is a weight that another tensor is, too" if twice else _fault(tensor, parts, rule.reshape):
            faults.append(f"{name}: {fault}")
            continue
        weights[rule.tower] |= zip(own, _split(tensor, parts), strict=True)
        used[name] = {"tower": rule.tower, "names": own, "shape": list(tensor.shape), "dtype": _number_type(tensor)}
    unnamed = [(tower, n) for tower, names in expected.items() for n in names if (tower, n) not in named]
    lacking, missing = _lacking(unnamed, rules)
    for tower, n in (weight for group in lacking.values() for weight in group):
        weights[tower][n] = expected[tower][n]
    faults += [f"missing: {name} {_whole([expected[tower][n] for tower, n in missing[name]])}" for name in missing]
    if faults:
        what = f"{len(faults)} key(s) at fault\n" + "\n".join(f"  {fault}" for fault in faults)
        raise BackboneError(what, where=where, mend="give a whole checkpoint of this family, or name its own family")
    return Converted(weights, used, left, list(lacking))


Weight = tuple[str, str]  # a tower and our name in it


def _lacking(
    unnamed: Sequence[Weight], rules: Sequence[Rule]
) -> tuple[dict[str, list[Weight]], dict[str, list[Weight]]]:
    """The weights that no tensor names, by their names there: those that may be lacking, and those that may not."""
    lacking: dict[str, list[Weight]] = {}
    missing: dict[str, list[Weight]] = {}
    for tower, own in unnamed:
        name = there(tower, own, rules)
        rule, _ = _rule(name, rules)
        optional = isinstance(rule, Rename) and rule.optional
        (lacking if optional else missing).setdefault(name, []).append((tower, own))
    return lacking, missing


def restore(
    weights: Mapping[str, Mapping[str, Tensor]], used: Mapping[str, Mapping[str, Any]]
) -> dict[str, Shaped[Tensor, "..."]]:
    """What `convert` was given, but for what it left: names, shapes, number types and values."""
    return {
        name: torch.cat([weights[how["tower"]][own].reshape(-1) for own in how["names"]])
        .reshape(how["shape"])
        .to(getattr(torch, how["dtype"]))
        for name, how in used.items()
    }


def there(tower: str, own: str, rules: Sequence[Rule]) -> str:
    """What the family calls our weight `own` of that tower; our own name where no rule leads to it."""
    for rule in rules:
        for pattern in rule.names if isinstance(rule, Rename) and rule.tower == tower else ():
            if (stars := _match(pattern, own)) is not None:
                name = _fill(rule.there, stars)
                found, groups = _rule(name, rules)
                if isinstance(found, Rename) and own in [_fill(again, groups) for again in found.names]:
                    return name
    return f"{tower}: {own}"


def under(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Shaped[Tensor, "..."]]:
    """The tensors whose names start with `prefix`, without it."""
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def shapes(tensors: Mapping[str, Tensor], axes: Mapping[str, int], where: str) -> dict[str, Shape]:
    """The shapes of tensors that must be there, with that many axes each: for families that read sizes from them.

    Raises BackboneError that lists every one that is not there or has not."""
    faults = [
        f"{name} {'is missing' if name not in tensors else f'has {tensors[name].ndim} axes, not {n}'}"
        for name, n in axes.items()
        if name not in tensors or tensors[name].ndim != n
    ]
    if faults:
        raise BackboneError("; ".join(faults), where=where, mend="name the family that the checkpoint is of")
    return {name: tuple(tensors[name].shape) for name in axes}


def sizer(tensors: Mapping[str, Tensor], where: str) -> Callable[[str, int], Shape]:
    """`shapes`, of one tensor at a time."""
    return lambda name, axes: shapes(tensors, {name: axes}, where)[name]


def usual_size(tensors: Mapping[str, Tensor], pattern: str, axis: int, where: str) -> int:
    """The commonest size of that axis among the tensors of the pattern's names, so that one misshapen tensor is blamed
    itself, and not all others. Raises BackboneError if there is none."""
    named = [tensor for name, tensor in tensors.items() if _match(pattern, name) is not None]
    sizes = Counter(tensor.shape[axis] for tensor in named if tensor.ndim > axis)
    if not sizes:
        raise BackboneError(f"{pattern} is missing", where=where, mend="name the family that the checkpoint is of")
    return sizes.most_common(1)[0][0]


def count(names: Mapping[str, Any], prefix: str) -> int:
    """How many different numbers follow `prefix` in the names: the layers of a stack."""
    found = (re.match(re.escape(prefix) + r"(\d+)\.", name) for name in names)
    return len({match[1] for match in found if match})


def _rule(name: str, rules: Sequence[Rule]) -> tuple[Rule | None, tuple[str, ...]]:
    for rule in rules:
        if (stars := _match(rule.there, name)) is not None:
            return rule, stars
    return None, ()


def _match(pattern: str, name: str) -> tuple[str, ...] | None:
    found = _compiled(pattern).fullmatch(name)
    return None if found is None else found.groups()


@cache
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(re.escape(pattern).replace(r"\*\*", "(.+)").replace(r"\*", r"([^.]+)"))


def _fill(pattern: str, stars: Sequence[str]) -> str:
    """The pattern with its stars replaced in turn."""
    given = iter(stars)
    return re.sub(r"\*\*?", lambda _: next(given), pattern)


def _fault(tensor: Tensor, parts: Sequence[Tensor], reshape: bool) -> str:
    """Why the tensor cannot be these weights; empty if it can."""
    whole, found = _whole(parts), _shape(tensor)
    alike = tensor.numel() == sum(part.numel() for part in parts) if reshape else found == whole
    if not alike:
        return f"has shape {found}, expected {whole}"
    if not torch.equal(tensor.to(parts[0].dtype).to(tensor.dtype), tensor):
        return f"holds NaN, or values of {tensor.dtype} that {parts[0].dtype} cannot hold"
    return ""


def _whole(parts: Sequence[Tensor]) -> Shape:
    """The shape of the parts along axis 0 together."""
    first = _shape(parts[0])
    return (sum(part.shape[0] for part in parts), *first[1:]) if len(parts) > 1 else first


def _split(tensor: Tensor, parts: Sequence[Tensor]) -> list[Tensor]:
    sizes = [part.numel() for part in parts]
    flat = tensor.reshape(-1).split(sizes)
    return [piece.reshape(part.shape).to(part.dtype) for piece, part in zip(flat, parts, strict=True)]


def _number_type(tensor: Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")


def _shape(tensor: Tensor) -> Shape:
    return tuple(tensor.shape)
