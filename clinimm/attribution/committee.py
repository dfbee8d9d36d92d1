"""Why a committee gave its logit: all its members' paths, refined together until their weighted mean adds up."""

from typing import Any

from clinimm.attribution.explain import explain
from clinimm.attribution.kept import Member
from clinimm.batch import Batch
from clinimm.models.committee import Committee
from clinimm.models.learner import FeatureLearner
from clinimm.types import Attribution


def explain_committee(committee: Committee, batch: Batch, target_index: int, **options: Any) -> Attribution:
    """`explain` of the committee's members as they stand to this batch of one. `committee` must be in evaluation mode.
    Raises as `explain` does."""
    members = [(one, float(part[target_index])) for one, part in members_answering(committee, batch, target_index)]
    return explain(members, batch, target_index, **options)


def members_answering(committee: Committee, batch: Batch, target_index: int) -> list[Member]:
    """The members as they stand to this batch of one; of other targets than this one, the learner says nothing of use.
    That halves its cost, and more."""
    return [
        (one.answering(target_index) if isinstance(one, FeatureLearner) else one, part)
        for one, part in committee.members_for(batch)
    ]
