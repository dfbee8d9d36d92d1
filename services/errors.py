"""Every refusal of the service, and its HTTP status: mapped once, here.

ServiceError (a ClinimmError)
├── BadRequest           400  the request cannot be read
├── Unauthorized         401  no token, or not one of ours; never says which
├── Forbidden            403  a valid token that may not do this
├── NotFound             404  no such thing
├── NotAcceptable        406  the answer has no such form
├── NotReady             409  it will be there; ask again
├── Conflict             409  against what is there: another patient, other bytes, a key in flight
├── Stale                412  the caller has seen an older version
├── TooLarge             413  over a limit, which is named
├── UnsupportedMedia     415  a media type or an encoding that is not read
├── Refused              422  readable, and refused for its content
├── PreconditionMissing  428  say which version you have seen
├── Unavailable          503  the database, the model or the queue cannot take it now
└── StorageFull          507  no room left to keep it
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from clinimm.errors import ClinimmError


@dataclass(frozen=True)
class Issue:
    """One fault of a request. `pointer` is a JSON pointer of the schema's own names, never of the sender's."""

    pointer: str
    code: str
    detail: str = ""


class ServiceError(ClinimmError):
    """A refusal that the caller is told of. Holds codes and limits, never what was sent."""

    status = 500
    title = "The service failed"

    def __init__(
        self,
        code: str,
        what: str,
        *,
        issues: Sequence[Issue] = (),
        headers: Mapping[str, str] | None = None,
        facts: Mapping[str, int] | None = None,
        mend: str = "",
    ) -> None:
        self.code, self.issues = code, tuple(issues)
        self.headers, self.facts = dict(headers or {}), dict(facts or {})
        super().__init__(what, mend=mend)


class BadRequest(ServiceError):
    status, title = 400, "The request cannot be read"


class Unauthorized(ServiceError):
    status, title = 401, "A valid token is needed"

    def __init__(self) -> None:
        super().__init__("unauthorized", "Send a valid bearer token.", headers={"WWW-Authenticate": "Bearer"})


class Forbidden(ServiceError):
    status, title = 403, "This client may not do it"


class NotFound(ServiceError):
    status, title = 404, "There is no such thing"


class NotAcceptable(ServiceError):
    status, title = 406, "The answer has no such form"


class NotReady(ServiceError):
    status, title = 409, "It is not there yet"


class Conflict(ServiceError):
    status, title = 409, "It contradicts what is there"


class Stale(ServiceError):
    status, title = 412, "A newer version is there"


class TooLarge(ServiceError):
    """`limit` and `actual`, where it was counted to the end, are counts of the unit that `code` names."""

    status, title = 413, "A limit is exceeded"

    def __init__(self, code: str, what: str, *, limit: int, actual: int | None = None) -> None:
        super().__init__(code, what, facts={"limit": limit} | ({} if actual is None else {"actual": actual}))


class UnsupportedMedia(ServiceError):
    status, title = 415, "The media type or encoding is not read"


class Refused(ServiceError):
    status, title = 422, "The content is refused"


class PreconditionMissing(ServiceError):
    status, title = 428, "Say which version you have seen"


class Unavailable(ServiceError):
    status, title = 503, "The service cannot take it now"

    def __init__(self, code: str, what: str, *, retry_after: int = 2) -> None:
        super().__init__(code, what, headers={"Retry-After": str(retry_after)})


class StorageFull(ServiceError):
    status, title = 507, "There is no room left to keep it"
