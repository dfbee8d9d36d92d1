"""What became of work against the events that say so: none brings a job to another state without one."""

from collections.abc import Iterable, Iterator

from services.audit.seals import Lying
from services.evidence.finding import CHANGED, GONE, Finding
from services.evidence.told import Told
from services.jobs.state import DEAD, DONE, QUEUED


def wrong(jobs: Iterable[Lying], say: Told) -> Iterator[Finding]:
    """The jobs whose state or reason is not what their events say, and those that events tell of and are not there. An
    event of before jobs were bound does not say which is done."""
    there = set()
    for job in jobs:
        there.add(job.key)
        stands = (job.values["state"], job.values["reason"])
        is_early = job.key not in say.seals and stands == (DONE, "")
        fate = say.fates.get(job.key, (QUEUED, ""))
        if stands != fate and not (is_early and fate[0] != DEAD):
            yield Finding(CHANGED, f"{job.case_id}/{job.name}")
    yield from (Finding(GONE, f"{case_id}/{name}") for case_id, name in say.fates.keys() - there)
