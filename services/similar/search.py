"""Two ways to find the nearest: every vector compared, on any database, or PostgreSQL's vector extension.

The extension works on a copy, `embedding_points`, which is made and filled only where it is configured; what is kept of
a result is the row of `embeddings` in both."""

from typing import Literal, Protocol

import sqlalchemy as sa
from sqlalchemy.exc import ProgrammingError
from sqlalchemy.orm import Session

from clinimm.errors import ConfigError
from services.db import Database
from services.db.migrate import one_at_a_time
from services.similar import store
from services.similar.store import BLOCK, Embedding, Neighbor
from services.similar.vectors import from_bytes, to_sql

OLDEST = (0, 8)  # of the extension: the first whose index goes on until enough rows pass the filter
WIDEST = 2000  # what its index can hold
POINTS = sa.table("embedding_points", *map(sa.column, ("case_id", "model", "result_id", "patient_id", "point")))


class Search(Protocol):
    """`exact` says that no neighbor can be missed."""

    exact: bool

    def keep(self, session: Session, embedding: Embedding) -> None:
        """What the search needs besides the row of the embedding, in the caller's transaction."""

    def nearest(self, session: Session, asked: Embedding, limit: int, *, same_patient: bool) -> list[Neighbor]:
        """As `store.nearest`."""


class Exact:
    exact = True

    def keep(self, session: Session, embedding: Embedding) -> None:
        """Nothing: the row is all that is read."""

    def nearest(self, session: Session, asked: Embedding, limit: int, *, same_patient: bool) -> list[Neighbor]:
        return store.nearest(session, asked, limit, same_patient=same_patient)


class Pgvector:
    """By an HNSW index over inner products, one for each model (Malkov and Yashunin 2018): it may miss a neighbor."""

    exact = False

    def keep(self, session: Session, embedding: Embedding) -> None:
        session.execute(_ADD, vars(embedding) | {"vector": to_sql(embedding.vector)})

    def nearest(self, session: Session, asked: Embedding, limit: int, *, same_patient: bool) -> list[Neighbor]:
        session.execute(sa.text("SET LOCAL hnsw.iterative_scan = strict_order"))
        session.execute(sa.text("SET LOCAL hnsw.ef_search = 200"))
        query = nearest_query(len(from_bytes(asked.vector)), same_patient=same_patient)
        rows = session.execute(query, vars(asked) | {"vector": to_sql(asked.vector), "limit": limit})
        return store.ordered([Neighbor(row.case_id, row.result_id, row.patient_id, row.similarity) for row in rows])


def nearest_query(width: int, *, same_patient: bool) -> sa.TextClause:
    """The query of `Pgvector.nearest`. The model is written into it, not bound: a plan made for any model could use no
    model's index."""
    distance = f"(point::vector({width})) <#> CAST(:vector AS vector({width}))"
    query = sa.text(
        f"SELECT case_id, result_id, patient_id, -({distance}) AS similarity FROM embedding_points "  # noqa: S608
        "WHERE model = :model AND case_id <> :case_id"
        f"{'' if same_patient else ' AND patient_id <> :patient_id'} ORDER BY {distance} LIMIT :limit"
    )
    return query.bindparams(sa.bindparam("model", type_=sa.String, literal_execute=True))


def opened(database: Database, vectors: Literal["exact", "pgvector"], model: str, width: int) -> Search:
    """The search that is configured, ready for vectors of `width` by `model`. Raises ConfigError if the database cannot
    do it."""
    if vectors == "exact":
        return Exact()
    if database.is_sqlite:
        raise _refusal("SQLite has no vector extension", "set a PostgreSQL by --database-url")
    with one_at_a_time(database):
        with database.write() as session:
            _make_extension(session)
            if session.scalar(sa.text("SELECT to_regclass('embedding_points')")) is None:
                session.execute(_POINTS)
        _fill(database)
        with database.write() as session:
            _make_index(session, model, width)
    return Pgvector()


def _make_extension(session: Session) -> None:
    version = session.scalar(sa.text("SELECT extversion FROM pg_extension WHERE extname = 'vector'"))
    if version is None:
        version = session.scalar(sa.text("SELECT default_version FROM pg_available_extensions WHERE name = 'vector'"))
        if version is None:
            raise _refusal("the database server lacks the extension vector", "install pgvector on it")
        try:
            session.execute(sa.text("CREATE EXTENSION vector"))
        except ProgrammingError:
            mend = "let its owner run CREATE EXTENSION vector in this database"
            raise _refusal("our user of the database may not make the extension vector", mend) from None
    if tuple(int(part) for part in version.split(".")[:2]) < OLDEST:
        raise _refusal(f"the extension vector is of version {version}", "update it to 0.8: ALTER EXTENSION ... UPDATE")


def _make_index(session: Session, model: str, width: int) -> None:
    """After the points are there: to build it at once is many times quicker."""
    index = f"ix_embedding_points_{model[:32]}"
    known = session.scalar(sa.text("SELECT to_regclass(:name)"), {"name": index})
    if known is None and width <= WIDEST:
        query = sa.text(
            f"CREATE INDEX {index} ON embedding_points USING hnsw ((point::vector({width})) vector_ip_ops) "
            "WHERE model = :model"
        )
        session.execute(query.bindparams(sa.bindparam("model", model, literal_execute=True)))


def _fill(database: Database) -> None:
    """Copies what was kept while the extension was not configured."""
    while True:
        with database.write() as session:
            missing = store.missing_points(session, POINTS, BLOCK)
            if missing:
                session.execute(_ADD, [vars(one) | {"vector": to_sql(one.vector)} for one in missing])
        if not missing:
            return


def _refusal(what: str, mend: str) -> ConfigError:
    return ConfigError(what, where="--vectors pgvector", mend=f"{mend}, or set --vectors exact")


_POINTS = sa.text(
    "CREATE TABLE embedding_points (case_id varchar(36), model varchar(64), result_id varchar(48) NOT NULL, "
    "patient_id varchar(200) NOT NULL, point vector NOT NULL, PRIMARY KEY (case_id, model), "
    "FOREIGN KEY (case_id, model) REFERENCES embeddings ON DELETE CASCADE)"
)
_ADD = sa.text(
    "INSERT INTO embedding_points (case_id, model, result_id, patient_id, point) "
    "VALUES (:case_id, :model, :result_id, :patient_id, CAST(:vector AS vector))"
)
