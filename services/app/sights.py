"""What a request that had no effect is called in the events: what was read, what was refused."""

from collections.abc import Mapping
from dataclasses import replace
from urllib.parse import parse_qsl

from starlette.types import Scope

from services import audit
from services.audit.witness import Sight
from services.http.ids import CASE_ID
from services.http.once import AGAIN
from services.worklist.filters import NAMES as FILTERS

READ: Mapping[str, str] = {
    "list_cases": "cases.listed",
    "validate_case": "case.validated",
    "get_case": "case.read",
    "get_timeline": "timeline.read",
    "list_results": "results.read",
    "get_result": "result.read",
    "get_report": "report.read",
    "get_bundle": "case.exported",
    "list_similar": "case.similar",
    "list_reviews": "reviews.read",
    "get_job": "job.read",
    "list_models": "models.read",
    "capabilities": "capabilities.read",
    "report_schema": "schema.read",
    "page_review": "review.read",
    "page_draft_review": "review.drafted",
    "page_withdraw": "report.read",
    "page_draft_withdrawal": "withdrawal.drafted",
    "page_agreement": "agreement.read",
    "page_reconcile": "case.read",
    "page_draft_reconciliation": "reconciliation.drafted",
    "page_case": "case.read",
    "page_result": "report.read",
    "page_download": "report.read",
    "page_bundle": "case.exported",
    "page_diff": "reports.compared",
    "page_scan": "scan.read",
    "page_map": "report.read",
    "page_worklist": "cases.listed",
    "page_samples": "samples.listed",
    "page_new_sample": "samples.listed",
    "page_sample": "sample.read",
    "page_drift": "drift.read",
    "page_models": "models.read",
    "page_model": "model.read",
}
"""Of every route that tells something and has no effect, by its name, the event that it is."""
OPERATION = ("healthz", "readyz", "metrics", "openapi", "page_login", "page_file", "page_home")
"""Routes that tell of the service, never of a case: asked all the time, they are no events but where a caller is turned
away."""
REFUSAL = "request.refused"
AWAY = "database_unavailable"
ASKED = frozenset({"flag", "reference", "limit", "cursor", "same_patient", *FILTERS})
"""Parameters of a search, of which the names are told."""


def of(scope: Scope, status: int) -> Sight | None:
    """The event of a request that has none yet; None where it needs none, or none can be written.

    A route may name what was seen in its request's `state.seen`, and the cases that it listed in `state.listed`."""
    state, name = scope.get("state", {}), getattr(scope.get("route"), "name", "")
    given = scope.get("path_params", {}).get("case_id", "")
    case_id = given if CASE_ID.fullmatch(given) else ""
    client, cases = state.get("client", ""), [case_id] if case_id else []
    code = state.get("code", "")  # also of who was not let in, and sent to the page that asks for a token
    if status >= 400 or code:
        if code == AWAY or (name in OPERATION and client):
            return None
        facts = {"status": status, "code": code} | ({"case": case_id} if case_id else {})
        return Sight(client, REFUSAL, route(scope), audit.REFUSED, cases, facts)
    if name in OPERATION:
        return None
    told = Sight(client, READ.get(name, AGAIN), state.get("seen") or case_id or route(scope), audit.DONE, cases)
    if "listed" not in state:
        return told
    asked = sorted({name for name, _ in parse_qsl(scope.get("query_string", b"").decode("latin-1"))} & ASKED)
    return replace(told, shown=state["listed"], facts={"asked": asked, "count": len(state["listed"])})


def route(scope: Scope) -> str:
    """The route's template, not the path that was asked for: a path can hold anything."""
    return str(getattr(scope.get("route"), "path", "unmatched"))
