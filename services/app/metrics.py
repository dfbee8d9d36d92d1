"""What /metrics tells: requests, uploads and looks at files of this process, all else from the database; no identity of
anyone."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from services.app.stock import Stock
from services.db import Database
from services.http.uploads import Uploads

METHODS = frozenset({"GET", "POST", "HEAD", "OPTIONS", "PUT", "PATCH", "DELETE"})


class Metrics:
    """`model` is the digest of the model that answers here."""

    def __init__(self, database: Database, uploads: Uploads, model: str) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "clinimm_http_requests", "Requests answered", ["method", "route", "status"], registry=self.registry
        )
        self.seconds = Histogram(
            "clinimm_http_request_seconds", "Time to answer", ["method", "route"], registry=self.registry
        )
        self.inspections = Histogram(
            "clinimm_inspect_seconds", "Time to look at a file at the door", ["transfer_syntax"], registry=self.registry
        )
        uploading = Gauge("clinimm_uploads", "Uploads in flight", registry=self.registry)
        uploading.set_function(lambda: uploads.current)
        self.registry.register(Stock(database, model))

    def note(self, method: str, route: str, status: int, seconds: float) -> None:
        method = method if method in METHODS else "other"
        self.requests.labels(method, route, str(status)).inc()
        self.seconds.labels(method, route).observe(seconds)

    def note_inspection(self, transfer_syntax: str, seconds: float) -> None:
        self.inspections.labels(transfer_syntax).observe(seconds)

    def exposition(self) -> bytes:
        return generate_latest(self.registry)
