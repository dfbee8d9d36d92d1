"""Why a committee gave its logits: all its members' paths, refined together until their weighted mean adds up."""

from collections.abc import Sequence
from typing import Any

from clinimm.attribution.explain import Asked, explain_all
from clinimm.attribution.kept import Member
from clinimm.batch import Batch
from clinimm.models.committee import Committee
from clinimm.models.learner import FeatureLearner
from clinimm.types import Attribution

Target = tuple[str, int]
"""Its name and its place."""


def explain_committee(
    committee: Committee, batch: Batch, target_index: int, *, target_name: str, **options: Any
) -> Attribution:
    """`explain_together` of one target of a batch of one."""
    return explain_together(committee, [(batch, (target_name, target_index))], **options)[0]


def explain_together(committee: Committee, asked: Sequence[tuple[Batch, Target]], **options: Any) -> list[Attribution]:
    """`explain_all` of batches of one, each for a target, by the committee's members as they stand to each.
    `committee` must be in evaluation mode. Raises as `explain_all` does."""
    standing: dict[int, Sequence[Member]] = {}
    for batch, _ in asked:
        if id(batch) not in standing:
            standing[id(batch)] = committee.members_for(batch)
    each = []
    for batch, (name, place) in asked:
        members = [(net, float(part[place])) for net, part in _answering(standing[id(batch)], place)]
        each.append(Asked(members, batch, place, name))
    return explain_all(each, **options)


def members_answering(committee: Committee, batch: Batch, target_index: int) -> list[Member]:
    """The members as they stand to this batch of one; of other targets than this one, the learner says nothing of use.
    That halves its cost, and more."""
    return _answering(committee.members_for(batch), target_index)


def _answering(members: Sequence[Member], target_index: int) -> list[Member]:
    return [(one.answering(target_index) if isinstance(one, FeatureLearner) else one, part) for one, part in members]
