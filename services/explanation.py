"""From a stored result to the record that explains it: when its report is made, and whenever it is replayed."""

from typing import TypeVar

from clinimm.errors import ArtifactError
from clinimm.inference import Predictor
from clinimm.report import record
from clinimm.report.canonical import Json
from clinimm.report.comparison import Previous
from clinimm.types import Case, ImageFile
from services import audit
from services.blobs import Blobs, DamagedBlob
from services.cases import load, versions
from services.cases import store as cases
from services.cases.content import inputs_hash
from services.cases.stored import StoredCase
from services.db import Database
from services.results import store as results
from services.results.store import StoredResult

T = TypeVar("T")


def explained(predictor: Predictor, database: Database, blobs: Blobs, result_id: str) -> Json:
    """The record of a result, computed from what its case held at the result's version.

    Raises ArtifactError if the result is another model's: its report must not be made by this one. Raises DamagedBlob
    if what it was made from is not all there, whole, and as it was."""
    with database.read() as session:
        result = existing(results.get(session, result_id))
        stored = existing(cases.get(session, result.case_id))
        then = versions.at(session, stored, result.case_version)
        tenant = audit.tenant_of(session, result_id)
        before = None if result.supersedes is None else existing(results.get(session, result.supersedes))
    if result.model != predictor.digest:
        raise ArtifactError("the result is another model's", where=result_id, mend="run a worker with that model")
    _check(then, result)
    case = load.load(then, predictor.modalities, blobs)
    _check_files(case, blobs)
    prediction, attributions = predictor.predict([case])[0], predictor.explain(case)
    previous = None if before is None else Previous(before.id, before.created_at, result.cause, before.record)
    return record.build(predictor, case, prediction, attributions, tenant=tenant, previous=previous)


def existing(row: T | None) -> T:
    """A job is owed in the transaction that stores its subject, so a subject that is gone is our own fault."""
    if row is None:
        raise LookupError("the subject of a job is gone")
    return row


def _check(case: StoredCase, result: StoredResult) -> None:
    """Whether the case at this version is what was answered. Of one from before cases had versions that cannot be told:
    its result has the hash of the request."""
    if result.inputs_hash not in (inputs_hash(case), case.created_hash):
        raise DamagedBlob("what it was made from was changed since", where=result.id, mend="see `audit verify`")


def _check_files(case: Case, blobs: Blobs) -> None:
    films = (given for given in case.inputs.values() if isinstance(given, ImageFile))
    for name in (name for film in films for name in film.digests):
        blobs.check(name)
