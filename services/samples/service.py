"""Draws samples of results to audit, keeps them, and tells what was found in them."""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from services import audit
from services.audit.seals import DRAWN, SAMPLES
from services.db import Database, now
from services.errors import NotFound
from services.samples import store
from services.samples.estimates import Rate, simple_rate, weighted_rate
from services.samples.plans import PLANS, RANDOM, draw, inclusions
from services.samples.risk import risk
from services.samples.store import Drawn, Progress, StoredSample
from services.worklist.filters import Filters, parsed

MOST, MOST_SEED = 1000, 2**31 - 1
REJECTED = "rejected"


@dataclass(frozen=True)
class Wanted:
    """A sample that is to be drawn."""

    plan: str
    size: int
    seed: int


@dataclass(frozen=True)
class Found:
    """A sample, its results, and the estimated rate of rejected ones: None until each that can be reviewed was. `lost`
    are those that nobody reviewed while it could be done: superseded since, or of a case that is held. The rate leaves
    them out as if by lot, and is wrong by as much as they differ."""

    sample: StoredSample
    filters: Filters
    drawn: Sequence[Drawn]
    rate: Rate | None

    @property
    def reviewed(self) -> int:
        return sum(bool(one.verdict) for one in self.drawn)

    @property
    def lost(self) -> int:
        return sum(_is_lost(one) for one in self.drawn)


def wanted(sent: Mapping[str, str]) -> tuple[Wanted | None, dict[str, str]]:
    """What a form asks for, or None; and of each field that cannot be meant how to mend it."""
    faults = {}
    if sent.get("plan") not in PLANS:
        faults["plan"] = "Choose one of the plans."
    if (size := _whole(sent.get("size", ""))) is None or not 1 <= size <= MOST:
        faults["size"] = f"Give a whole number from 1 to {MOST}."
    if (seed := _whole(sent.get("seed", ""))) is None or not 0 <= seed <= MOST_SEED:
        faults["seed"] = f"Give a whole number from 0 to {MOST_SEED}."
    if faults or size is None or seed is None:
        return None, faults
    return Wanted(sent["plan"], size, seed), {}


@dataclass(frozen=True)
class Samples:
    database: Database

    def count(self, filters: Filters) -> int:
        """How many results could be drawn."""
        with self.database.read() as session:
            return store.size(session, filters)

    def new(self, client: str, wanted: Wanted, filters: Filters) -> str:
        """The id of a sample, drawn from the results that the filters leave now; all of them where there are no more
        than it asks for. Raises NotFound where there is none."""
        with self.database.read() as session:  # many are read: nobody who writes waits for that
            units = store.population(session, filters)
        if not units:
            raise NotFound("nothing_to_sample", "No result matches.", mend="Take a filter away, and draw again.")
        inclusion = inclusions([1.0 if wanted.plan == RANDOM else risk(unit.signs) for unit in units], wanted.size)
        places = draw(inclusion, wanted.seed)
        sample = StoredSample(
            id=str(uuid.uuid4()),
            **vars(wanted),
            population=len(units),
            filters=filters.given,
            client=client,
            created_at=now(),
        )
        with self.database.write() as session:
            store.add(session, sample, [(units[place].result_id, inclusion[place]) for place in places])
            told: dict[str, Any] = {
                "plan": wanted.plan,
                "size": len(places),
                "population": len(units),
                "asked": sorted(filters.given),
            }
            wrote = [f"{kind}/{sample.id}" for kind in (SAMPLES, DRAWN)]
            audit.record(session, client, "sample.drawn", sample.id, wrote=wrote, **told)
        return sample.id

    def listed(self) -> list[Progress]:
        """Newest first."""
        with self.database.read() as session:
            return store.listed(session)

    def get(self, sample_id: str) -> Found:
        """Raises NotFound."""
        with self.database.read() as session:
            sample = store.get(session, sample_id)
            if sample is None:
                raise NotFound("sample_not_found", "There is no such sample.")
            drawn = store.drawn(session, sample_id)
        return Found(sample, parsed(sample.filters)[0], drawn, _rate(sample, drawn))


def _rate(sample: StoredSample, drawn: Sequence[Drawn]) -> Rate | None:
    """Only once all were reviewed: who reviews the odd ones first would make the rate of a part of them."""
    seen = [one for one in drawn if not _is_lost(one)]
    if not seen or not all(one.verdict for one in seen):
        return None
    rejected = [one.verdict == REJECTED for one in seen]
    if sample.plan == RANDOM:
        return simple_rate(sum(rejected), len(seen), sample.population)
    return weighted_rate(rejected, [one.inclusion for one in seen], sample.population)


def _is_lost(one: Drawn) -> bool:
    return not one.verdict and (one.is_held or not one.is_current)


def _whole(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 12 else None
