"""/cases/{id}: what a case holds, what it was answered, and what was done with it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

from fastapi import APIRouter, Request, Response

from services.auth import viewer
from services.bundles.routes import ZIP
from services.bundles.service import Bundles
from services.cases.answers import PartOut
from services.cases.service import Cases
from services.faults import FAULTS
from services.http.ids import CaseId
from services.http.responses import content
from services.pages import rendering
from services.results.service import Results
from services.reviews.service import Reviews

router = APIRouter(include_in_schema=False)

ACTS: Mapping[str, str] = {
    "case.created": "Case received",
    "case.added": "Inputs added",
    "case.held": "Held: its parts name different patients",
    "case.released": "Released",
    "case.reconciled": "A person decided whose the parts are",
    "case.identity_shown": "What the parts say of their patient was shown",
    "case.asked_again": "Asked for an answer by the model of now",
    "result.stored": "Answered",
    "result.needs_re-review": "The answer asks for another review",
    "result.signed_off": "Answer signed off",
    "result.rejected": "Answer rejected",
    "report.withdrawn": "Report withdrawn",
    "job.retried": "Work tried again",
    "job.dead_lettered": "Work given up",
}
TOLD = ("version", "case_version", "cause", "parts", "decision", "excluded", "reason", "fields", "model", "inputs_hash")
"""Of the facts of an event those that a timeline tells: none of an answer, which a held case must not show."""
SHORT = 12  # characters of a hash that people compare by eye


@dataclass(frozen=True)
class Parts:
    """Parts in a row of which the same became; `said` is what their code means."""

    first: str
    last: str
    count: int
    one: PartOut
    said: str


@router.get("/cases/{case_id}")
def page_case(request: Request, case_id: CaseId) -> Response:
    """The case as it is now. Raises NotFound."""
    cases: Cases = request.app.state.cases
    results: Results = request.app.state.results
    reviews: Reviews = request.app.state.reviews
    reader = viewer(request.state)
    found, timeline = cases.case(case_id), cases.timeline(case_id, reader)
    return rendering.page(
        request,
        "case.html",
        case=found,
        parts=alike(found.parts),
        answers=results.of_case(case_id),
        reviews=reviews.of_case(case_id, reader),
        events=[(event, act(event.action), told(event.facts)) for event in timeline.events],
    )


@router.get("/cases/{case_id}/bundle.zip")
def page_bundle(request: Request, case_id: CaseId) -> Response:
    """The case as a zip that proves itself. Raises what the API's route raises."""
    bundles: Bundles = request.app.state.bundles
    named = {"Content-Disposition": f'attachment; filename="{case_id}.zip"'}
    return content(request, bundles.of_case(case_id, viewer(request.state)), ZIP, headers=rendering.SAFE | named)


def alike(parts: Sequence[PartOut]) -> list[Parts]:
    """The parts, those of a series that share a fate as one: six hundred slices are one line."""
    rows = []
    for _, group in groupby(parts, key=_fate):
        run = list(group)
        one = run[0]
        said = FAULTS[one.code].said if one.code in FAULTS else ""
        rows.append(Parts(one.part, run[-1].part, len(run), one, said))
    return rows


def act(action: str) -> str:
    """The code of an event as words."""
    return ACTS.get(action) or action.replace(".", ": ").replace("_", " ").capitalize()


def told(facts: Mapping[str, object]) -> list[tuple[str, str]]:
    """What a timeline tells of an event: names and values, hashes cut short."""
    return [(name.replace("_", " "), _brief(facts[name])) for name in TOLD if facts.get(name) not in (None, "", [], ())]


def _fate(part: PartOut) -> tuple[object, ...]:
    kind = part.part.partition("/")[0]
    return kind, part.modality, part.outcome, part.code, tuple(part.flags)


def _brief(value: object) -> str:
    if isinstance(value, list):
        more = f" and {len(value) - 3} more" if len(value) > 3 else ""
        return ", ".join(map(str, value[:3])) + more
    text = str(value)
    is_hash = len(text) == 64 and not text.strip("0123456789abcdef")
    return text[:SHORT] if is_hash else text
