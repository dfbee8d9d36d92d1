"""What a case comes to is a matter of what it was sent, not of the order: a correction may come before its original."""

import json
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import settings as checked
from hypothesis import strategies as st
from service_requests import case, film, post

from clinimm.io.sandbox import Sandbox
from clinimm.types import Analyte, Case, Kind, Modality
from services.blobs import Blobs
from services.cases import load, store
from services.cases.arrivals import Arrivals, Arrived, look
from services.cases.content import image_key, lab_key, note_key, settled
from services.cases.growth import grown
from services.cases.receive import Submission
from services.cases.schemas import InputsIn
from services.cases.stored import Instance, StoredCase, StoredImage
from services.db import Database
from services.settings import Settings

NOON = datetime(2026, 1, 17, 12, tzinfo=UTC)
MODALITIES = (
    Modality("cxr", Kind.IMAGE, (1, 32, 32)),
    Modality("note", Kind.TEXT, (48,)),
    Modality("labs", Kind.TABULAR, (2,), analytes=(Analyte("crp", "mg/L"), Analyte("wbc", "10*9/L"))),
)


def lab(name: str, value: float, status: str = "final", source: str | None = None, hour: int = 8) -> dict[str, Any]:
    unit = {"crp": "mg/L", "wbc": "10*9/L"}[name]
    said = {"name": name, "value": Decimal(str(value)), "unit": unit, "status": status, "id": source}
    said["collected_at"] = f"2026-01-17T{hour:02d}:00:00+00:00"
    return {"labs": [said]}


def note(text: str, hour: int | None, status: str = "final", source: str | None = None) -> dict[str, Any]:
    when = None if hour is None else f"2026-01-17T{hour:02d}:00:00+00:00"
    return {"note": {"text": text, "acquired_at": when, "status": status, "id": source}}


INPUTS: dict[str, dict[str, Any] | int] = {
    "film": 1,
    "second film": 2,
    "value": lab("crp", 84.5, source="a"),
    "its correction": lab("crp", 48.5, "corrected", "a"),
    "another value": lab("wbc", 14.25, source="b"),
    "its cancellation": lab("wbc", 14.25, "cancelled", "b"),
    "a later value": lab("crp", 60, source="c", hour=9),
    "a value with another of its time": lab("crp", 12, source="d", hour=9),
    "note": note("Fever and cough.", 9, source="n"),
    "its correction by hand": note("Fever, no cough.", 9, "corrected", "n"),
    "second note": note("No edema.", 10),
    "note after the question": note("Effusion.", 13),
    "note with no time": note("Old scar.", None),
    "the same note again": note("No edema.", 10, source="m"),
}


def arriving(name: str) -> Arrivals:
    sent = INPUTS[name]
    if not isinstance(sent, int):
        inputs = InputsIn.model_validate(sent)
        return look(Submission(), inputs, MODALITIES, Sandbox(), NOON)
    sha = f"{sent:064d}"
    instance = Instance(f"1.2.{sent}", "1.2", "1.3", sha, sha, 10, False, {"flags": []}, {})
    image = StoredImage(-1, 0, "cxr", "accepted", "", 10, sha, sha, False, instance)
    return Arrivals((Arrived(image, None),), (), (), ())  # type: ignore[arg-type]  # its bytes are not looked at


def after(names: list[str]) -> StoredCase:
    blank = StoredCase("id", "client", None, "p", {}, NOON, 0, "", "", "", {}, NOON)
    made = grown(blank, Arrivals((), (), (), ()), {}, MODALITIES, b"secret").case
    for name in names:
        made = grown(made, arriving(name), {}, MODALITIES, b"secret").case
    return made


def verdicts(grown_case: StoredCase) -> list[Any]:
    """What became of each part, by what it says rather than by its place."""
    found = settled(grown_case, MODALITIES)
    keyed = [(image_key(image), f"images/{image.position}") for image in grown_case.images]
    keyed += [(note_key(one), f"notes/{one.position}") for one in grown_case.notes]
    keyed += [(lab_key(one), f"labs/{one.position}") for one in grown_case.labs]
    return [sorted((key, found.verdicts[part]) for key, part in keyed), found.flags, found.labs]


def given_to_the_model(grown_case: StoredCase, folder: Path) -> Case:
    return load.load(grown_case, MODALITIES, Blobs(folder))


@st.composite
def two_orders(draw: st.DrawFn) -> tuple[list[str], list[str]]:
    names = draw(st.lists(st.sampled_from(sorted(INPUTS)), unique=True, min_size=2, max_size=7))
    return names, draw(st.permutations(names))


@pytest.mark.slow
@checked(derandomize=True, deadline=None, max_examples=200)
@given(two_orders())
def test_any_order_ends_in_the_same_content(
    tmp_path_factory: pytest.TempPathFactory, orders: tuple[list[str], list[str]]
) -> None:
    first, second = (after(names) for names in orders)
    assert first.inputs_hash == second.inputs_hash
    assert verdicts(first) == verdicts(second)
    folder = tmp_path_factory.getbasetemp() / "any-order"
    assert given_to_the_model(first, folder) == given_to_the_model(second, folder)


def test_any_order_of_posts_ends_in_the_same_case(api: httpx.Client, settings: Settings) -> None:
    names = sorted(INPUTS)
    orders = [names, names[::-1], names[7:] + names[:7]]
    ids = [sent_in_order(api, f"order-{number}", order) for number, order in enumerate(orders)]
    database, blobs = Database(settings.url), Blobs(settings.data / "blobs")
    with database.read() as session:
        found = [kept for one in ids if (kept := store.get(session, one)) is not None]
    database.close()
    assert {kept.version for kept in found} == {1 + len(names)}
    assert len({kept.inputs_hash for kept in found}) == 1
    first, *others = [load.load(replace(kept, id="one"), MODALITIES, blobs) for kept in found]
    assert [other == first for other in others] == [True, True]


def sent_in_order(api: httpx.Client, reference: str, names: list[str]) -> str:
    made = post(api, case(reference, note=None, labs=None, index_time=NOON.isoformat())).json()
    for name in names:
        sent = INPUTS[name]
        document = json.dumps({} if isinstance(sent, int) else sent, default=float)
        files: list[tuple[str, Any]] = [("inputs", (None, document, "application/json"))]
        files += [("image", ("f", film(sent)))] if isinstance(sent, int) else []
        headers = {"Idempotency-Key": f"{reference}-{names.index(name)}"}
        answer = api.post(made["links"]["inputs"], files=files, headers=headers)
        assert answer.status_code in (200, 202), answer.text
    return str(made["id"])
