"""Similar cases on the wire."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field


class SimilarCase(BaseModel):
    """`similarity` is the cosine of the two cases' vectors, in [-1, 1]; `result_id` the result whose vector it is."""

    model_config = ConfigDict(allow_inf_nan=False)

    case_id: str
    result_id: str
    similarity: Annotated[float, Field(ge=-1, le=1)]
    links: dict[str, str]


class SimilarOut(BaseModel):
    """The nearest cases by the model of the case's latest result, most similar first.

    `state` is pending, done or failed, as the case's; `reason` says why there is nothing to compare: the code of why
    the case failed or was abstained from, or `not_embedded`. `exact` says that no nearer case can have been missed."""

    case_id: str
    state: str
    reason: str
    model: str | None
    exact: bool
    similar: list[SimilarCase]
