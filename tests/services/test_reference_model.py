"""The service against a model of it that fits a page: whatever clients do, in whatever order, both answer alike."""

import itertools
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck
from hypothesis import settings as checked
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test
from pydicom.uid import generate_uid
from service_processes import running_api
from service_requests import case, film

from services.auth import add_client
from services.settings import Settings

EXAMPLES = itertools.count()
NAMES, CLIENTS = st.sampled_from(["a", "b"]), st.sampled_from([0, 1])
SEEN = st.sampled_from(["current", "none", "any", "stale"])
PARTS = st.sampled_from(["film 1", "film 2", "film 1 with other pixels", "value", "correction", "cancellation", "note"])
STALE = (412, "version_stale")
VALUE = {"id": "v", "name": "crp", "value": 84.5, "unit": "mg/L"}
DOCUMENTS: dict[str, dict[str, Any]] = {
    "value": {"labs": [VALUE]},
    "correction": {"labs": [VALUE | {"value": 48.5, "status": "corrected"}]},
    "cancellation": {"labs": [VALUE | {"status": "cancelled"}]},
    "note": {"note": {"text": "No effusion."}},
}
OTHER = {"case": {"patient": {"id": "another"}}, "inputs": {"note": {"text": "Another."}}}


@dataclass
class ModelCase:
    """A case of the model: the set of its parts, and at which version it is."""

    id: str
    parts: set[str]
    version: int = 1
    complete: bool = False
    causes: list[str] = field(default_factory=lambda: ["case.created"])

    def grow(self) -> None:
        self.version += 1
        self.causes.append("case.added")


class Machine(RuleBasedStateMachine):
    """`cases` by name; `instances` are the pictures that were kept, by UID; `keys` the first answers, `hashes` those of
    every content that was seen."""

    def __init__(self, clients: list[httpx.Client]) -> None:
        super().__init__()
        self.clients, self.example = clients, next(EXAMPLES)
        self.cases: dict[str, ModelCase] = {}
        self.instances: dict[str, str] = {}
        self.keys: list[tuple[int, str, str, list[tuple[str, Any]], httpx.Response]] = []
        self.hashes: dict[tuple[frozenset[str], bool], str] = {}

    @rule(name=NAMES, client=CLIENTS)
    def create(self, name: str, client: int) -> None:
        """The same question is the same case, whoever asks it, and whatever was added to it since."""
        document = case(f"{self.example}-{name}", labs=None, note=None)
        answer = self.send(client, "/v1/cases", [("case", (None, json.dumps(document), "application/json"))])
        known = self.cases.setdefault(name, ModelCase(answer.json()["id"], set()))
        assert answer.status_code == 202
        assert answer.json()["id"] == known.id
        self.check(known, answer.json())

    @precondition(lambda self: self.cases)
    @rule(name=NAMES, client=CLIENTS, part=PARTS, seen=SEEN)
    def add(self, name: str, client: int, part: str, seen: str) -> None:
        known = self.cases.get(name) or next(iter(self.cases.values()))
        answer = self.send(client, f"/v1/cases/{known.id}/inputs", self.form(part), self.seen(known, seen))
        uid = part[:6]
        if part.startswith("film") and self.instances.get(uid, part) != part:
            assert told(answer) == (409, "instance_conflict")
        elif seen == "stale":
            assert told(answer) == STALE
        else:
            stored = part in known.parts or part == self.instances.get(uid)
            if part.startswith("film"):
                self.instances[uid] = part
            self.joined(known, part, answer, stored=stored)

    @precondition(lambda self: self.cases)
    @rule(name=NAMES, client=CLIENTS, number=st.sampled_from([1, 2]))
    def refer(self, name: str, client: int, number: int) -> None:
        """An instance that is kept can be named; it is the same part as its file."""
        known, uid = self.cases.get(name) or next(iter(self.cases.values())), f"film {number}"
        sop_uid = generate_uid(entropy_srcs=[f"sop{self.seed(uid)}"])
        document = json.dumps({"images": [{"sop_instance_uid": sop_uid}]})
        form = [("inputs", (None, document, "application/json"))]
        answer = self.send(client, f"/v1/cases/{known.id}/inputs", form)
        if uid not in self.instances:
            assert told(answer) == (422, "unknown_reference")
        else:
            self.joined(known, self.instances[uid], answer, stored=True)

    @precondition(lambda self: self.cases)
    @rule(name=NAMES, client=CLIENTS, complete=st.booleans(), seen=SEEN)
    def mark(self, name: str, client: int, complete: bool, seen: str) -> None:
        known = self.cases.get(name) or next(iter(self.cases.values()))
        path, headers = f"/v1/cases/{known.id}/modalities/labs", self.seen(known, seen)
        answer = self.clients[client].put(path, json={"complete": complete}, headers=headers)
        if seen in ("none", "stale"):
            assert told(answer) == ((428, "if_match_missing") if seen == "none" else STALE)
            return
        if complete != known.complete:
            known.complete = complete
            known.grow()
        assert answer.status_code == 200
        self.check(known, answer.json())

    @precondition(lambda self: self.keys)
    @rule(which=st.integers(0, 100), other=st.booleans())
    def repeat(self, which: int, other: bool) -> None:
        """The same key gets the first answer again, to the byte; with another content it is refused."""
        client, key, path, form, first = self.keys[which % len(self.keys)]
        if not other:
            again = self.clients[client].post(path, files=form, headers={"Idempotency-Key": key})
            assert (again.status_code, again.content) == (first.status_code, first.content)
        else:
            part = "case" if path == "/v1/cases" else "inputs"
            changed = [(part, (None, json.dumps(OTHER[part]), "application/json"))]
            answer = self.clients[client].post(path, files=changed, headers={"Idempotency-Key": key})
            assert told(answer) == (422, "key_reused")

    @invariant()
    def all_cases_read_as_the_model_has_them(self) -> None:
        for known in self.cases.values():
            self.check(known, self.clients[0].get(f"/v1/cases/{known.id}").json())

    def teardown(self) -> None:
        for known in self.cases.values():
            events = self.clients[1].get(f"/v1/cases/{known.id}/timeline").json()["events"]
            assert [event["action"] for event in events] == known.causes
            assert [event["facts"]["version"] for event in events] == list(range(1, known.version + 1))
            found = self.clients[1].get(f"/v1/cases/{known.id}/results").json()
            assert (found["state"], found["results"]) == ("pending", [])

    def joined(self, known: ModelCase, part: str, answer: httpx.Response, *, stored: bool) -> None:
        [outcome] = [one["outcome"] for one in answer.json()["parts"]]
        if part.startswith("film"):
            assert outcome == ("already_stored" if stored else "accepted")
        if part not in known.parts:
            known.parts.add(part)
            known.grow()
        assert answer.status_code == 202
        self.check(known, answer.json())

    def check(self, known: ModelCase, told: dict[str, Any]) -> None:
        assert (told["id"], told["version"], told["complete"]) == (
            known.id, known.version, ["labs"] if known.complete else [],
        )  # fmt: skip
        content = (frozenset(known.parts), known.complete)
        assert self.hashes.setdefault(content, told["inputs_hash"]) == told["inputs_hash"]
        assert len(set(self.hashes.values())) == len(self.hashes)

    def send(
        self, client: int, path: str, form: list[tuple[str, Any]], headers: dict[str, str] | None = None
    ) -> httpx.Response:
        key = f"{self.example}-{len(self.keys)}"
        answer = self.clients[client].post(path, files=form, headers={"Idempotency-Key": key} | (headers or {}))
        if answer.status_code == 202:
            self.keys.append((client, key, path, form, answer))
        return answer

    def seen(self, known: ModelCase, how: str) -> dict[str, str]:
        tags = {"current": f'"{known.version}"', "any": "*", "stale": f'"{known.version + 1}"'}
        return {"If-Match": tags[how]} if how in tags else {}

    def form(self, part: str) -> list[tuple[str, Any]]:
        if part.startswith("film"):
            return [("image", ("f", self.file(part)))]
        return [("inputs", (None, json.dumps(DOCUMENTS[part]), "application/json"))]

    def seed(self, part: str) -> int:
        """Pictures of an example are its own."""
        return 10 * self.example + int(part[5])

    def file(self, part: str) -> bytes:
        data = film(self.seed(part), patient="p-1")
        return data[:-2] + b"\x07\x01" if part.endswith("other pixels") else data


def told(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["code"]


@pytest.fixture
def two_clients(database_url: str, described_model: Path, tmp_path: Path) -> Iterator[list[httpx.Client]]:
    """Of one API, each by its own token."""
    path = tmp_path / "tokens"
    headers = [{"Authorization": f"Bearer {add_client(path, name)}"} for name in ("one", "other")]
    options = {"data": tmp_path, "artifact": described_model, "allow_unpromoted": True, "database_url": database_url}
    with running_api(Settings(tokens_file=path, **options)) as api:
        clients = [httpx.Client(base_url=api.base_url, timeout=30, headers=one) for one in headers]
        yield clients
        for client in clients:
            client.close()


@pytest.mark.slow
def test_service_answers_as_its_model_does(two_clients: list[httpx.Client]) -> None:
    run_state_machine_as_test(
        lambda: Machine(two_clients),
        settings=checked(
            derandomize=True, deadline=None, max_examples=10, stateful_step_count=12,
            suppress_health_check=list(HealthCheck),
        ),
    )  # fmt: skip
