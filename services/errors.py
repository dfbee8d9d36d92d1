"""Every refusal of the service by its HTTP status; `services.faults` has what each code is called.

ServiceError (a ClinimmError)
├── BadRequest           400  the request cannot be read
├── Unauthorized         401  no token, or not one of ours; never says which
├── Forbidden            403  a valid token that may not do this
├── NotFound             404  no such thing
├── MethodNotAllowed     405  the path has other methods, which are named
├── NotAcceptable        406  the answer has no such form
├── TooSlow              408  the body does not come
├── NotReady             409  it will be there; ask again
├── Conflict             409  against what is there: another patient, other bytes, a key in flight
├── Gone                 410  it was there, and somebody took it out of use
├── Stale                412  the caller has seen an older version
├── TooLarge             413  over a limit, which is named
├── UnsupportedMedia     415  a media type or an encoding that is not read
├── Refused              422  readable, and refused for its content
├── PreconditionMissing  428  say which version you have seen
├── HeadersTooLarge      431  over the limit of header fields
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
    status = 400


class Unauthorized(ServiceError):
    status = 401

    def __init__(self) -> None:
        super().__init__("unauthorized", "Send a valid bearer token.", headers={"WWW-Authenticate": "Bearer"})


class Forbidden(ServiceError):
    status = 403


class NotFound(ServiceError):
    status = 404


class MethodNotAllowed(ServiceError):
    status = 405


class NotAcceptable(ServiceError):
    status = 406


class NotReady(ServiceError):
    status = 409


class TooSlow(ServiceError):
    status = 408


class Conflict(ServiceError):
    status = 409


class Gone(ServiceError):
    status = 410


class Stale(ServiceError):
    status = 412


class TooLarge(ServiceError):
    """`limit` and `actual`, what was counted when it was over, are counts of the unit that `code` names."""

    status = 413

    def __init__(self, code: str, what: str, *, limit: int, actual: int | None = None) -> None:
        super().__init__(code, what, facts={"limit": limit} | ({} if actual is None else {"actual": actual}))


class UnsupportedMedia(ServiceError):
    status = 415


class Refused(ServiceError):
    status = 422


class PreconditionMissing(ServiceError):
    status = 428


class HeadersTooLarge(TooLarge):
    status = 431


class Unavailable(ServiceError):
    status = 503

    def __init__(self, code: str, what: str, *, retry_after: int = 2) -> None:
        super().__init__(code, what, headers={"Retry-After": str(retry_after)})


class StorageFull(ServiceError):
    status = 507
