"""Answers to posted cases, as a worker's model writes them."""

from typing import Any

from clinimm.types import Abstention, InputState, Prediction, Status, TargetPrediction
from services.db import now
from services.results import service as results
from services.reviews.store import StoredReview


def record(case_id: str, *, labs: Status = Status.ABSENT, abstained: Abstention | None = None) -> dict[str, Any]:
    """A prediction as the model room writes it."""
    target = TargetPrediction("pneumonia", 0.81, (0.7, 0.9), 0.4, True, 1.45)
    silent = TargetPrediction("pneumonia", None, None, 0.4, None, None, abstained=abstained)
    inputs = {"cxr": InputState(Status.PRESENT, quality={"sharpness": 0.4}), "labs": InputState(labs, "not_provided")}
    flags = () if labs is Status.PRESENT else ("missing:labs",)
    answer = Prediction(
        case_id, "d" * 64, (silent if abstained else target,), {"cxr": 1.0, "labs": 0.0}, inputs, flags, abstained
    )
    return answer.record()


def content(shown: dict[str, Any]) -> results.Content:
    """What an answer to a posted case is to."""
    return results.Content(shown["id"], shown["version"], shown["inputs_hash"])


def said(result_id: str, verdict: str, reader: str = "ann") -> StoredReview:
    """What a reader said of a result, as it is kept."""
    return StoredReview(result_id, verdict, "why", (), "", reader, now())
