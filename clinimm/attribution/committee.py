"""Why a committee gave its logit: all its members' paths, refined together until their weighted mean adds up."""

from typing import Any

from clinimm.attribution.explain import explain
from clinimm.batch import Batch
from clinimm.models.committee import Committee
from clinimm.models.learner import FeatureLearner
from clinimm.types import Attribution


def explain_committee(committee: Committee, batch: Batch, target_index: int, **options: Any) -> Attribution:
    """`explain` of the committee's members as they stand to this batch of one. `committee` must be in evaluation mode.
    Raises as `explain` does."""
    members = [
        (one.answering(target_index) if isinstance(one, FeatureLearner) else one, float(part[target_index]))
        for one, part in committee.members_for(batch)
    ]
    return explain(members, batch, target_index, **options)
