"""What the verbs of `clinimm-service` have in common: their options, and a database for the length of one."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    import services.db

Data = Annotated[Path | None, typer.Option(help="Folder of files and, by default, of the SQLite database.")]
Registry = Annotated[
    Path | None, typer.Option(help="Folder that `clinimm promote` keeps: its current artifact answers.")
]
Unpromoted = Annotated[
    bool | None, typer.Option("--allow-unpromoted", help="Let an --artifact answer that was not promoted.")
]
Artifact = Annotated[
    Path | None, typer.Option(help="Directory of one artifact, instead of the registry's current one.")
]
Database = Annotated[
    str | None, typer.Option("--database-url", help="postgresql://... ; SQLite in --data if not given.")
]
Tokens = Annotated[
    Path | None, typer.Option("--tokens", help="File of clients' token hashes; turns authentication on.")
]
Backbone = Annotated[
    Path | None, typer.Option(help="Backbone of an artifact that holds only what was trained, if it moved.")
]
Threads = Annotated[int | None, typer.Option(min=1, help="Threads of the model in one worker.")]
Device = Annotated[str | None, typer.Option(help="cpu, cuda, cuda:1, ...")]
Vectors = Annotated[str | None, typer.Option(help="How similar cases are searched: exact, or pgvector on PostgreSQL.")]


@contextmanager
def database_of(data: Path | None, database_url: str | None) -> "Iterator[services.db.Database]":
    """A database that is there, for the length of a command."""
    from services import logs
    from services.jobs.prepare import opened
    from services.settings import settings

    logs.configure("WARNING")
    database = opened(settings(data=data, database_url=database_url).url)
    try:
        yield database
    finally:
        database.close()
