"""Forms in two steps: what the first one shows is sealed, and the second takes nothing else."""

import base64
import binascii
from collections.abc import Mapping

from fastapi import Request

from services.errors import Forbidden
from services.pages.session import Sessions


def sealed(request: Request, about: str, body: bytes) -> dict[str, str]:
    """The fields that carry a document, and what it is `about`, from the step that shows it to the one that acts."""
    sessions: Sessions = request.app.state.sessions
    draft = base64.urlsafe_b64encode(body).decode()
    return {"draft": draft, "seal": sessions.seal(request.state.session, f"{about}\n{draft}")}


def confirmed(request: Request, about: str, fields: Mapping[str, str]) -> bytes:
    """The document as it was shown. Raises Forbidden for any other, and for one that another session was shown."""
    sessions: Sessions = request.app.state.sessions
    draft, seal = fields.get("draft", ""), fields.get("seal", "")
    try:
        if sessions.is_seal(request.state.session, f"{about}\n{draft}", seal):
            return base64.b64decode(draft, altchars=b"-_", validate=True)
    except binascii.Error:
        pass
    raise Forbidden("form_not_ours", "What was confirmed is not what was shown here; look at it again.")


def typed(text: str) -> str:
    """What was typed, without what a browser adds to lines, and the blanks around all."""
    return text.replace("\r\n", "\n").strip()
