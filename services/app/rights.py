"""Who may do what: a role for each route, and nothing for a route that is not named here."""

from collections.abc import Mapping

from fastapi import Request

from services.auth import PEOPLE, Role
from services.errors import Forbidden

_SENDERS = frozenset({Role.SYSTEM, Role.CLINICIAN})
_READERS = _SENDERS | {Role.AUDITOR}
_DECIDERS = frozenset({Role.CLINICIAN})
_ALL = frozenset(Role)

MAY: Mapping[str, frozenset[Role]] = {
    **dict.fromkeys(("post_case", "post_inputs", "validate_case", "put_modality", "ask_again"), _SENDERS),
    **dict.fromkeys(("list_cases", "get_case", "get_timeline", "get_job", "list_similar"), _READERS),
    **dict.fromkeys(("list_results", "get_result", "get_report", "list_reviews"), _READERS),
    **dict.fromkeys(("get_identity", "post_reconciliation"), _DECIDERS),
    **dict.fromkeys(("page_reconcile", "page_draft_reconciliation", "page_give_reconciliation"), _DECIDERS),
    **dict.fromkeys(("post_review", "post_withdrawal", "put_switch", "page_switch", "get_bundle"), PEOPLE),
    **dict.fromkeys(("list_models", "capabilities", "report_schema", "readyz", "metrics", "openapi"), _ALL),
    **dict.fromkeys(("page_review", "page_draft_review", "page_give_review", "page_agreement"), PEOPLE),
    **dict.fromkeys(("page_withdraw", "page_draft_withdrawal", "page_give_withdrawal"), PEOPLE),
    **dict.fromkeys(
        ("page_case", "page_diff", "page_result", "page_download", "page_scan", "page_map", "page_bundle"), PEOPLE
    ),
    **dict.fromkeys(("page_worklist", "page_samples", "page_new_sample", "page_draw_sample", "page_sample"), PEOPLE),
    **dict.fromkeys(
        ("page_home", "page_sign_out", "page_models", "page_model", "page_drift"), PEOPLE | {Role.RESEARCHER}
    ),
}
"""The roles that may take a route, by its name; `local` may take each."""


async def check(request: Request) -> None:
    """Raises Forbidden where the client's role may not do this, which is so unless it is said that it may."""
    role: Role = request.state.role
    may = MAY.get(request.scope["route"].name, frozenset())
    if role is not Role.LOCAL and role not in may:
        mend = f"It is for: {', '.join(sorted(may)) or 'nobody'}. The role of {request.state.client} is {role}."
        raise Forbidden("role_not_allowed", "This client's role may not do this.", mend=mend)
