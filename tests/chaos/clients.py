"""Careful clients: each post is repeated under its key until it is answered; what was acknowledged is remembered."""

import json
import random
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import httpx
from service_requests import film

from services.cases.schemas import ModalityIn

PATIENCE_SECONDS = 120.0
AGAIN = ("key_in_flight", "version_stale", "busy", "database_unavailable", "queue_full", "storage_full")


@dataclass(frozen=True)
class Post:
    """A POST as it is sent, each time alike; `films`, `labs` and `notes` are what the case then holds besides."""

    path: str
    part: str
    document: dict[str, Any]
    films: tuple[bytes, ...] = ()
    key: str = field(default_factory=lambda: uuid.uuid4().hex)

    @property
    def labs(self) -> list[dict[str, Any]]:
        return list(self.document.get("labs", ()))

    @property
    def notes(self) -> list[str]:
        return [self.document["note"]["text"]] if "note" in self.document else []

    def send(self, client: httpx.Client) -> httpx.Response:
        files: list[tuple[str, Any]] = [(self.part, (None, json.dumps(self.document), "application/json"))]
        files += [("image", ("film.dcm", data, "application/dicom")) for data in self.films]
        return client.post(self.path, files=files, headers={"Idempotency-Key": self.key})


@dataclass(frozen=True)
class Acknowledged:
    """An answer that promises something, and to whom: the case, at the version that the answer named."""

    post: Post
    status: int
    body: bytes
    case_id: str
    version: int


@dataclass
class Ledger:
    """What all clients were told; `odd` are answers that a careful client should never see."""

    acknowledged: list[Acknowledged] = field(default_factory=list)
    odd: list[str] = field(default_factory=list)
    posts: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def sent(self) -> None:
        with self.lock:
            self.posts += 1

    def note(self, post: Post, answer: httpx.Response) -> Acknowledged:
        """Keeps an acknowledgement; one key that gets two different answers is odd."""
        told = answer.json()
        kept = Acknowledged(post, answer.status_code, answer.content, told["id"], told["version"])
        with self.lock:
            before = [one for one in self.acknowledged if one.post.key == post.key]
            if before and (before[0].status, before[0].body) != (kept.status, kept.body):
                self.odd.append(f"another answer to the same key: {post.path}")
            if not before:
                self.acknowledged.append(kept)
        return kept

    def found_odd(self, what: str) -> None:
        with self.lock:
            self.odd.append(what)


@dataclass
class Careful:
    """One client. `heard` is told the address of whoever has just acknowledged something."""

    number: int
    addresses: list[str]
    ledger: Ledger
    stopped: threading.Event
    heard: Callable[[str], None]
    seed: int
    pause: float

    def work(self) -> None:
        """Cases, one after the other, until told to stop; the last is brought to its end."""
        rng = random.Random(f"{self.seed}/{self.number}")
        count = 0
        while not self.stopped.is_set():
            self._case(rng, f"{self.seed}-{self.number}-{count}")
            count += 1

    def _case(self, rng: random.Random, name: str) -> None:
        created = self._acknowledged(_creation(rng, name), rng)
        if created is None:
            return
        done = [created]
        for step in range(rng.randrange(4)):
            act = rng.choice([self._labs, self._corrected, self._film, self._again, self._note, self._marked])
            act(rng, name, step, done)
            self.stopped.wait(rng.uniform(0, 2 * self.pause))

    def _labs(self, rng: random.Random, name: str, step: int, done: list[Acknowledged]) -> None:
        self._add({"labs": [_lab(f"{name}-{step}", "wbc", rng.randrange(400, 2000))]}, (), rng, done)

    def _corrected(self, rng: random.Random, name: str, step: int, done: list[Acknowledged]) -> None:
        lab = _lab(name, "crp", rng.randrange(100, 9000)) | {"status": "corrected", "issued_at": _hour(11 + step)}
        self._add({"labs": [lab]}, (), rng, done)

    def _film(self, rng: random.Random, name: str, step: int, done: list[Acknowledged]) -> None:
        self._add({}, (_picture(rng, name),), rng, done)

    def _note(self, rng: random.Random, name: str, step: int, done: list[Acknowledged]) -> None:
        note = {"text": f"No effusion, look {name}/{step}.", "acquired_at": _hour(9)}
        self._add({"note": note}, (), rng, done)

    def _again(self, rng: random.Random, name: str, step: int, done: list[Acknowledged]) -> None:
        """What was sent before, under the same key or another: the same answer, or the same case."""
        before = rng.choice(done)
        same = rng.random() < 0.5
        post = (
            before.post if same else Post(before.post.path, before.post.part, before.post.document, before.post.films)
        )
        told = self._acknowledged(post, rng)
        if told is not None and told.case_id != before.case_id:
            self.ledger.found_odd("the same content became another case")

    def _marked(self, rng: random.Random, name: str, step: int, done: list[Acknowledged]) -> None:
        """Says that no more labs will come. It has no key, so a client looks whether that was heard."""
        path = f"/v1/cases/{done[0].case_id}"
        said = ModalityIn(complete=True).model_dump(exclude_none=True)

        def put(client: httpx.Client) -> httpx.Response:
            seen = client.get(path)
            if seen.status_code != 200 or "labs" in seen.json()["complete"]:
                return seen
            headers = {"If-Match": seen.headers["ETag"]}
            return client.put(f"{path}/modalities/labs", json=said, headers=headers)

        self._until_answered(put, rng)

    def _add(
        self, document: dict[str, Any], films: tuple[bytes, ...], rng: random.Random, done: list[Acknowledged]
    ) -> None:
        path = f"/v1/cases/{done[0].case_id}/inputs"
        told = self._acknowledged(Post(path, "inputs", document, films), rng)
        if told is not None:
            done.append(told)

    def _acknowledged(self, post: Post, rng: random.Random) -> Acknowledged | None:
        answer = self._until_answered(post.send, rng)
        return None if answer is None else self.ledger.note(post, answer)

    def _until_answered(
        self, send: Callable[[httpx.Client], httpx.Response], rng: random.Random
    ) -> httpx.Response | None:
        """The first 2xx. A refusal that no kill explains is odd, and so is silence for two minutes."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < deadline:
            address = rng.choice(self.addresses)
            self.ledger.sent()
            try:
                with httpx.Client(base_url=address, timeout=20) as client:
                    answer = send(client)
            except httpx.TransportError:
                time.sleep(0.1)
                continue
            if answer.status_code in (200, 202):
                self.heard(address)
                return answer
            if (code := answer.json().get("code")) not in AGAIN:
                self.ledger.found_odd(f"{answer.status_code} {code}")
                return None
            time.sleep(0.1)
        self.ledger.found_odd("never answered")
        return None


def _creation(rng: random.Random, name: str) -> Post:
    labs = [_lab(name, "crp", rng.randrange(100, 9000))]
    document: dict[str, Any] = {
        "reference": name,
        "patient": {"id": f"p-{name}"},
        "index_time": _hour(12),
        "note": {"text": f"Fever and cough, case {name}.", "acquired_at": _hour(8)},
    }
    if rng.random() < 0.8:
        document["labs"] = labs
    films = tuple(_picture(rng, name) for _ in range(rng.randrange(3)))
    return Post("/v1/cases", "case", document, films)


def _picture(rng: random.Random, name: str) -> bytes:
    return film(rng.getrandbits(60), patient=f"p-{name}")


def _lab(source_id: str, name: str, hundredths: int) -> dict[str, Any]:
    unit = {"crp": "mg/L", "wbc": "10*9/L"}[name]
    value = hundredths / 100
    return {"id": f"{name}-{source_id}", "name": name, "value": value, "unit": unit, "collected_at": _hour(7)}


def _hour(hour: int) -> str:
    return f"2026-01-17T{hour:02d}:00:00+00:00"
