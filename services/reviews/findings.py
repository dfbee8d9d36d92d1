"""Words on single findings, set against what the model answered."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from services.errors import Issue, Refused
from services.reviews.schemas import AcceptedIn, ModifiedIn, RejectedIn

NONE = "none"
"""No answer: the model's where it abstained, a reader's who rejects one and gives none."""
Finding = AcceptedIn | RejectedIn | ModifiedIn


def resolved(said: Sequence[Finding], record: Mapping[str, Any]) -> tuple[dict[str, Any], ...]:
    """The findings as they are kept, each beside the model's answer and the one that stands from then on. Raises
    Refused that lists all that do not fit the result's record."""
    answers = {target["target"]: _answer(target["decision"]) for target in record["targets"]}
    if issues := [issue for place, one in enumerate(said) for issue in _issues(said, place, one, answers)]:
        raise Refused("bad_review", "The findings do not fit the result.", issues=issues)
    return tuple(_kept(one, answers[one.target]) for one in said)


def codes(kept: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """By target what was said of it, in codes alone: `accept`, `reject:other`, `modify:true:later_evidence`."""
    return {one["target"]: ":".join(filter(None, (one["verdict"], one["answer"], one["reason"]))) for one in kept}


def _answer(decision: bool | None) -> str:
    return NONE if decision is None else str(decision).lower()


def _issues(said: Sequence[Finding], place: int, one: Finding, answers: Mapping[str, str]) -> Iterator[Issue]:
    at = f"/findings/{place}"
    if one.target not in answers:
        yield Issue(f"{at}/target", "target_not_found", "The result has no such target.")
    if one.target in {other.target for other in said[:place]}:
        yield Issue(f"{at}/target", "finding_repeated", "One word on each target.")
    if isinstance(one, ModifiedIn) and one.answer == answers.get(one.target):
        yield Issue(f"{at}/answer", "answer_unchanged", "That is what the model answered: accept it.")
    if not isinstance(one, AcceptedIn) and one.reason == "other" and not one.text:
        yield Issue(f"{at}/text", "missing", "Say which other reason.")


def _kept(one: Finding, model: str) -> dict[str, Any]:
    given = {"answer": None, "reason": "", "text": ""} | one.model_dump()
    stands = {"accept": model, "reject": NONE}.get(one.verdict, given["answer"])
    return given | {"model": model, "stands": stands}
