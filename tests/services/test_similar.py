"""Similar cases: nearest by the latest result's model, each once, the patient's own left out, every asking noted."""

import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import jsonschema_rs
import numpy as np
import pytest
import sqlalchemy as sa
from service_processes import new_database, running_api
from service_requests import case, cohort_film, post

from clinimm.errors import ConfigError
from clinimm.inference import Predictor
from services.blobs import Blobs
from services.cases import load
from services.cases import store as cases
from services.cases.hold import known_secret
from services.db import Database
from services.diagnosis import Diagnosis
from services.evidence.finding import Bond
from services.evidence.rows import Evidence
from services.jobs import state
from services.jobs.queue import Queue
from services.results import service as results
from services.settings import Settings
from services.similar import service
from services.similar.search import Search, nearest_query, opened
from services.similar.store import Embedding
from services.similar.vectors import from_bytes, from_text, to_bytes, to_sql, to_text
from services.tables import EmbeddingRow, EventRow, JobRow

WIDTH = 32  # of the quickstart's model
MODEL, OTHER = "d" * 64, "e" * 64
GROUND = ("sqlite exact", "postgresql exact", "postgresql pgvector")


@dataclass(frozen=True)
class Place:
    """An API without a worker, and the database behind it."""

    api: httpx.Client
    database: Database
    search: Search

    def posted(self, patient: str = "p-1") -> str:
        return str(post(self.api, case(uuid.uuid4().hex, patient={"id": patient})).json()["id"])

    def answer(self, case_id: str, point: np.ndarray | None, model: str = MODEL, abstained: str | None = None) -> str:
        """Keeps a result and where it lies, as a worker's transaction does."""
        record: dict[str, Any] = {"artifact": model, "abstained": abstained}
        record |= {"flags": [], "targets": [], "weights": {}, "inputs": {}}
        with self.database.write() as session:
            stored = cases.get(session, case_id)
            assert stored is not None
            content = results.Content(case_id, stored.version, stored.inputs_hash)
            result_id = results.keep(session, content, record, [])
            assert result_id is not None
            if point is not None:
                embedding = Embedding(result_id, case_id, stored.patient_id, model, to_bytes(point))
                service.keep(session, self.search, embedding)
            job = session.scalars(sa.select(JobRow).where(JobRow.subject == case_id)).one()
            state.finish(session, job.id)
        return result_id

    def cohort(self, points: np.ndarray, patients: Sequence[str], model: str = MODEL) -> list[str]:
        ids = [self.posted(patient) for patient in patients]
        for case_id, point in zip(ids, points, strict=True):
            self.answer(case_id, point, model)
        return ids

    def similar(self, case_id: str, **params: Any) -> dict[str, Any]:
        answer = self.api.get(f"/v1/cases/{case_id}/similar", params=params)
        assert answer.status_code == 200, answer.text
        return dict(answer.json())


def settings_on(ground: str, request: pytest.FixtureRequest, model: Path, folder: Path) -> Settings:
    kind, vectors = ground.split()
    url = ""
    if kind == "postgresql":
        url = request.getfixturevalue("emptied_postgres_url")
    else:
        (folder / "clinimm.db").write_bytes(request.getfixturevalue("migrated_sqlite").read_bytes())
    return Settings(data=folder, artifact=model, allow_unpromoted=True, database_url=url, vectors=vectors)


@pytest.fixture(params=GROUND)
def place(request: pytest.FixtureRequest, described_model: Path, tmp_path: Path) -> Iterator[Place]:
    settings = settings_on(request.param, request, described_model, tmp_path)
    database = Database(settings.url)
    with running_api(settings) as api:
        yield Place(api, database, opened(database, settings.vectors, MODEL, WIDTH))
    database.close()


def unit_vectors(n: int, seed: int = 0) -> np.ndarray:
    points = np.random.default_rng(seed).normal(size=(n, WIDTH))
    return (points / np.linalg.norm(points, axis=1, keepdims=True)).astype(np.float32)


def test_nearest_are_those_of_a_plain_loop_and_never_the_patients_own(place: Place) -> None:
    points, patients = unit_vectors(18), [f"p-{i // 3}" for i in range(18)]
    ids = place.cohort(points, patients)
    for asked in (0, 7, 17):
        others = [i for i in range(18) if patients[i] != patients[asked]]
        expected = sorted(others, key=lambda i: -float(points[i] @ points[asked]))
        found = place.similar(ids[asked], limit=6)
        assert [one["case_id"] for one in found["similar"]] == [ids[i] for i in expected[:6]]
        assert [one["similarity"] for one in found["similar"]] == pytest.approx(
            [float(points[i] @ points[asked]) for i in expected[:6]], abs=2e-6
        )
        assert (found["state"], found["reason"], found["model"]) == ("done", "", MODEL)
        own = place.similar(ids[asked], limit=100, same_patient=True)["similar"]
        assert {one["case_id"] for one in own} == set(ids) - {ids[asked]}


def test_vectors_of_another_model_are_not_compared_and_a_case_comes_once(place: Place) -> None:
    points = unit_vectors(4)
    ids = place.cohort(points, ["a", "b", "c", "d"])
    for case_id, point in zip(ids[:2], unit_vectors(2, seed=1), strict=True):
        place.answer(case_id, point, OTHER)
    newest = place.similar(ids[0])
    assert (newest["model"], [one["result_id"] for one in newest["similar"]]) == (OTHER, [f"{ids[1]}-2"])
    older = place.similar(ids[2])
    assert older["model"] == MODEL
    assert sorted(one["result_id"] for one in older["similar"]) == sorted(f"{ids[i]}-1" for i in (0, 1, 3))


def test_a_newer_result_of_the_same_model_takes_the_place_of_the_older(place: Place) -> None:
    point = unit_vectors(1)[0]
    first, second = place.cohort(np.stack([point, point]), ["a", "b"])
    assert len(place.similar(first)["similar"]) == 1
    with place.database.write() as session:
        service.forget(session, second, MODEL)
    assert place.similar(first)["similar"] == []


def test_where_there_is_nothing_to_compare_the_reason_is_said(place: Place) -> None:
    silent, old, waiting = (place.posted() for _ in range(3))
    place.answer(silent, None, abstained="no_usable_input")
    place.answer(old, None)
    assert (place.similar(silent)["reason"], place.similar(silent)["similar"]) == ("no_usable_input", [])
    assert place.similar(old)["reason"] == "not_embedded"
    pending = place.api.get(f"/v1/cases/{waiting}/similar")
    assert (pending.json()["state"], pending.json()["model"], pending.headers["retry-after"]) == ("pending", None, "1")


def test_every_asking_leaves_one_event_with_the_patients_that_were_shown_and_no_name(place: Place) -> None:
    ids = place.cohort(unit_vectors(4), ["anna", "berta", "carla", "anna"])
    place.similar(ids[0], limit=2)
    unknown = str(uuid.uuid4())
    assert place.api.get(f"/v1/cases/{unknown}/similar").status_code == 404
    with place.database.read() as session:
        answered = session.scalars(sa.select(EventRow).where(EventRow.action == "case.similar")).one()
        refused = session.scalars(sa.select(EventRow).where(EventRow.outcome == "refused")).one()
    assert (answered.object_id, answered.facts["asked"], answered.facts["count"]) == (ids[0], ["limit"], 2)
    assert len(answered.facts["patients"]) == 2
    assert (refused.facts["code"], refused.facts["case"], refused.patient) == ("case_not_found", unknown, "")
    assert not {"anna", "berta", "carla"} & set(answered.facts["patients"])


@pytest.mark.parametrize("params", [{"limit": 0}, {"limit": 101}, {"limit": "many"}, {"same_patient": "maybe"}])
def test_a_parameter_out_of_bounds_is_refused(api: httpx.Client, params: dict[str, Any]) -> None:
    answer = api.get(f"/v1/cases/{uuid.uuid4()}/similar", params=params)
    assert (answer.status_code, answer.json()["code"]) == (422, "bad_parameters")


def test_what_is_answered_is_as_documented(place: Place) -> None:
    ids = place.cohort(unit_vectors(2), ["a", "b"])
    document = place.api.get("/openapi.json").json()
    schema = {"$ref": "#/components/schemas/SimilarOut", "components": document["components"]}
    jsonschema_rs.validate(schema, place.similar(ids[0]))


@pytest.fixture
def pgvector(request: pytest.FixtureRequest, described_model: Path, tmp_path: Path) -> Settings:
    return settings_on("postgresql pgvector", request, described_model, tmp_path)


def test_a_search_can_use_the_index_of_its_model(pgvector: Settings) -> None:
    database = Database(pgvector.url)
    opened(database, "pgvector", MODEL, WIDTH)
    query, given = nearest_query(WIDTH, same_patient=False), {"vector": to_sql(to_bytes(unit_vectors(1)[0]))}
    with database.read() as session:
        session.execute(sa.text("SET LOCAL enable_seqscan = off"))
        session.execute(sa.text("SET LOCAL enable_sort = off"))
        explained = sa.text(f"EXPLAIN {query.text}").bindparams(
            sa.bindparam("model", type_=sa.String, literal_execute=True)
        )
        asked = {"model": MODEL, "case_id": "x", "patient_id": "p", "limit": 5}
        plan = "\n".join(session.scalars(explained, given | asked))
    database.close()
    assert f"ix_embedding_points_{MODEL[:32]}" in plan


def test_what_was_kept_before_the_extension_was_set_is_found_too(pgvector: Settings) -> None:
    database = Database(pgvector.url)
    with running_api(pgvector.model_copy(update={"vectors": "exact"})) as api:
        ids = Place(api, database, opened(database, "exact", MODEL, WIDTH)).cohort(unit_vectors(5), list("abcde"))
    with running_api(pgvector) as api:
        found = Place(api, database, opened(database, "pgvector", MODEL, WIDTH)).similar(ids[0])
    database.close()
    assert found["exact"] is False
    assert {one["case_id"] for one in found["similar"]} == set(ids[1:])


def test_copy_that_is_searched_is_compared_with_what_is_kept(pgvector: Settings) -> None:
    database = Database(pgvector.url)

    def wrong_copies() -> set[str]:
        found = Evidence(database, Blobs(pgvector.data / "blobs"), Bond(known_secret(pgvector.data))).findings()
        return {str(one) for one in found if "embedding_points" in one.name}

    with running_api(pgvector) as api:
        place = Place(api, database, opened(database, "pgvector", MODEL, WIDTH))
        first, second, third = place.cohort(unit_vectors(3), list("abc"))
    assert not wrong_copies()
    turned = to_sql(to_bytes(np.nextafter(unit_vectors(3)[0], 2)))
    with database.engine.begin() as owner:
        change = "UPDATE embedding_points SET {} WHERE case_id = '{}'"
        owner.execute(sa.text(change.format(f"point = CAST('{turned}' AS vector)", first)))
        owner.execute(sa.text(change.format("patient_id = 'z'", second)))
        owner.execute(sa.text("ALTER TABLE embedding_points DROP CONSTRAINT embedding_points_case_id_model_fkey"))
        owner.execute(sa.text(change.format(f"model = '{OTHER}'", third)))
    assert wrong_copies() == {
        *(f"row_changed\t{one}/embedding_points" for one in (first, second)),
        f"row_unknown\t{third}/embedding_points",
    }
    database.close()


def test_a_start_without_the_extension_is_refused_with_what_to_do(postgres_url: str, settings: Settings) -> None:
    with (
        pytest.raises(ConfigError, match="SQLite has no vector extension"),
        running_api(settings.model_copy(update={"vectors": "pgvector"})),
    ):
        pass
    url, role = new_database(postgres_url, f"plain_{uuid.uuid4().hex[:8]}"), f"plain_{uuid.uuid4().hex[:8]}"
    database = Database(url)
    with database.engine.begin() as connection:
        connection.execute(sa.text(f"CREATE ROLE {role} LOGIN PASSWORD 'x'"))
    plain = Database(str(sa.make_url(url).set(username=role, password="x").render_as_string(False)))
    with pytest.raises(ConfigError, match="may not make the extension vector") as refusal:
        opened(plain, "pgvector", MODEL, WIDTH)
    assert "CREATE EXTENSION vector" in str(refusal.value)
    for one in (plain, database):
        one.close()


@pytest.mark.slow
@pytest.mark.parametrize("ground", GROUND)
def test_a_worker_keeps_where_the_case_lies_with_its_result(
    ground: str, tiny_artifact: Path, tiny_cohort: Path, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    settings = settings_on(ground, request, tiny_artifact, tmp_path)
    predictor = Predictor.load(tiny_artifact)
    database, blobs = Database(settings.url), Blobs(tmp_path / "blobs")
    queue = Queue(database, 100)
    found = opened(database, settings.vectors, predictor.digest, predictor.config.fused_width)
    worker = Diagnosis(predictor, predictor, database, blobs, queue, found)
    with running_api(settings) as api:
        whole = post(api, case("a", patient={"id": "a"}), [("image", cohort_film(tiny_cohort, patient="a"))]).json()[
            "id"
        ]
        noted = post(api, case("b", patient={"id": "b"}, labs=None)).json()["id"]
        empty = post(api, case("c", patient={"id": "c"}, labs=None, note=None), [("image", b"no film")]).json()["id"]
        for case_id in (whole, noted, empty):
            outcome = worker.predict(case_id)
            with database.write() as session:
                worker.keep_result(session, case_id, outcome)
        answer = api.get(f"/v1/cases/{whole}/similar").json()
        shown = api.get(f"/v1/cases/{whole}/results").json()["results"][0]
    with database.read() as session:
        kept = {row.case_id: from_bytes(row.vector) for row in session.scalars(sa.select(EmbeddingRow))}
        stored = cases.get(session, whole)
    assert stored is not None
    again = predictor.answer(load.load(stored, predictor.modalities, blobs))
    queue.close()
    database.close()
    assert set(kept) == {whole, noted}
    assert again.point is not None
    assert np.array_equal(kept[whole], again.point)
    assert [one["case_id"] for one in answer["similar"]] == [noted]
    assert answer["similar"][0]["similarity"] == pytest.approx(float(kept[whole] @ kept[noted]), abs=2e-6)
    assert "point" not in shown


def test_a_vector_travels_bit_for_bit() -> None:
    for point in unit_vectors(20, seed=3):
        text = to_text(point)
        assert text is not None
        assert np.array_equal(from_bytes(from_text(text) or b""), point)
        literal = np.array(to_sql(to_bytes(point)).strip("[]").split(","), dtype=np.float32)
        assert np.array_equal(literal, point)
    assert to_text(None) is None
