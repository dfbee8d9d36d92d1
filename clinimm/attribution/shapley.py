"""Exact Shapley values of the inputs, over every subset of them.

Source: Shapley 1953; the interaction index is Grabisch and Roubens 1999."""

from collections.abc import Mapping
from itertools import combinations
from math import factorial

import torch
from jaxtyping import Float
from torch import Tensor

from clinimm.attribution.question import Question
from clinimm.batch import Tokens

Subset = frozenset[str]


def subset_answers(question: Question, tokens: Mapping[str, Tokens]) -> dict[Subset, Float[Tensor, " k"]]:
    """The logits of all targets for every subset of the inputs in use, those of the empty one being the prior: encoders
    are not run again, the fusion once, with a row per subset."""
    subsets = powerset(question.used)
    values = {Subset(): question.network.prior}
    if not question.used:
        return values
    present = torch.tensor(
        [[name in subset for name in question.names] for subset in subsets[1:]], device=question.present.device
    )
    repeated = {name: _repeated(part, len(present)) for name, part in tokens.items()}
    with torch.no_grad():
        answers = question.answers(repeated, present)
    return values | dict(zip(subsets[1:], answers.cpu(), strict=True))


def powerset(names: tuple[str, ...]) -> list[Subset]:
    """Every subset of `names`, the empty one first, then by size."""
    return [Subset(chosen) for size in range(len(names) + 1) for chosen in combinations(names, size)]


def shapley_values(names: tuple[str, ...], value: Mapping[Subset, float]) -> dict[str, float]:
    """phi_i = sum over S without i of |S|! (M-|S|-1)! / M! (v(S+i) - v(S)); they sum to v(all) - v(none)."""
    return {
        i: sum(_weight(s, len(names)) * (value[s | {i}] - value[s]) for s in powerset(_without(names, i)))
        for i in names
    }


def interaction_index(names: tuple[str, ...], value: Mapping[Subset, float]) -> dict[tuple[str, str], float]:
    """I_ij = sum over S without i, j of |S|! (M-|S|-2)! / (M-1)! (v(S+i+j) - v(S+i) - v(S+j) + v(S)).

    Above 0 the two say more together than apart (synergy), below 0 less (redundancy)."""
    return {
        (i, j): sum(
            _weight(s, len(names) - 1) * (value[s | {i, j}] - value[s | {i}] - value[s | {j}] + value[s])
            for s in powerset(_without(names, i, j))
        )
        for i, j in combinations(names, 2)
    }


def _weight(subset: Subset, players: int) -> float:
    """The share of the orders of `players` in which exactly `subset` comes before a given one."""
    return factorial(len(subset)) * factorial(players - len(subset) - 1) / factorial(players)


def _without(names: tuple[str, ...], *left_out: str) -> tuple[str, ...]:
    return tuple(name for name in names if name not in left_out)


def _repeated(tokens: Tokens, rows: int) -> Tokens:
    return Tokens(tokens.values.expand(rows, -1, -1), tokens.mask.expand(rows, -1))
