"""`clinimm-service`: serve the API, work off the queue, migrate and check what is stored, let a client in."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from clinimm.errors import ClinimmError

if TYPE_CHECKING:
    import services.db

cli = typer.Typer(help=__doc__, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
jobs = typer.Typer(help="Work that is owed, and what could not be done.", no_args_is_help=True)
cli.add_typer(jobs, name="jobs")

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


@cli.command()
def serve(
    data: Data = None,
    registry: Registry = None,
    artifact: Artifact = None,
    allow_unpromoted: Unpromoted = None,
    backbone: Backbone = None,
    database_url: Database = None,
    host: Annotated[str | None, typer.Option(help="Address to bind; beyond loopback only with --tokens.")] = None,
    port: Annotated[int | None, typer.Option(help="0 takes a free one.")] = None,
    tokens: Tokens = None,
    threads: Threads = None,
    device: Device = None,
    vectors: Vectors = None,
    worker: Annotated[bool, typer.Option("--worker/--no-worker", help="Run a worker as a child process.")] = True,
) -> None:
    """Serve the API, with a worker beside it unless --no-worker."""
    from services import logs, server
    from services.settings import settings

    logs.configure()
    server.serve(
        settings(
            data=data,
            registry=registry,
            artifact=artifact,
            allow_unpromoted=allow_unpromoted,
            backbone=backbone,
            database_url=database_url,
            host=host,
            port=port,
            tokens_file=tokens,
            threads=threads,
            device=device,
            vectors=vectors,
        ),
        with_worker=worker,
        announce=lambda url: typer.echo(f"listening on {url}"),
    )


@cli.command()
def worker(
    data: Data = None,
    registry: Registry = None,
    artifact: Artifact = None,
    allow_unpromoted: Unpromoted = None,
    backbone: Backbone = None,
    database_url: Database = None,
    threads: Threads = None,
    device: Device = None,
    vectors: Vectors = None,
    stop_with_parent: Annotated[bool, typer.Option(hidden=True)] = False,
) -> None:
    """Answer the cases that wait, until told to stop."""
    from services import logs
    from services import worker as workers
    from services.settings import settings

    logs.configure()
    workers.run(
        settings(
            data=data,
            registry=registry,
            artifact=artifact,
            allow_unpromoted=allow_unpromoted,
            backbone=backbone,
            database_url=database_url,
            threads=threads,
            device=device,
            vectors=vectors,
        ),
        stop_with_parent=stop_with_parent,
    )


@cli.command()
def migrate(
    data: Data = None,
    database_url: Database = None,
    back_to: Annotated[
        str | None, typer.Option(help="Undo what came after this revision, such as 0002; refused if it loses anything.")
    ] = None,
) -> None:
    """Bring the database to this version's tables. Stop API and workers, and back up, first."""
    from services import logs
    from services.jobs.prepare import prepared, taken_back
    from services.settings import settings

    logs.configure()
    url = settings(data=data, database_url=database_url).url
    (prepared(url) if back_to is None else taken_back(url, back_to)).close()


@cli.command()
def fsck(
    data: Data = None,
    database_url: Database = None,
    deep: Annotated[bool, typer.Option("--deep", help="Read every file: do its bytes hash to its name?")] = False,
    repair: Annotated[bool, typer.Option("--repair", help="Mend what is found.")] = False,
    every: Annotated[
        bool, typer.Option("--all", help="Files that no row names count at any age: stop the service first.")
    ] = False,
) -> None:
    """Tell where database and files contradict each other, by id. Exits with 0 if nowhere, 1 if somewhere, 2 if it
    cannot be told."""
    from services import fsck as checking
    from services.settings import settings

    folder = settings(data=data).data
    with _database(data, database_url) as database:
        blobs = checking.opened(folder)
        found = checking.check(database, blobs, deep=deep, **({"older_than": 0.0} if every else {}))
        for finding in found:
            typer.echo(finding)
        if found and repair:
            checking.repair(database, blobs, found, folder)
            typer.echo(f"repaired: {len(found)}")
    raise typer.Exit(1 if found else 0)


@jobs.command("list")
def list_jobs(
    state: Annotated[str | None, typer.Option(help="Only those that are dead, queued or done.")] = None,
    data: Data = None,
    database_url: Database = None,
) -> None:
    """Tell the work that is owed, oldest first: id, state, attempts, reason, age in seconds."""
    from services.jobs import letters

    with _database(data, database_url) as database:
        for line in letters.lines(database, state):
            typer.echo(line)


@jobs.command()
def retry(
    job_id: Annotated[str | None, typer.Argument(help="A dead job's id.")] = None,
    all_dead: Annotated[bool, typer.Option("--all-dead", help="Every dead job.")] = False,
    data: Data = None,
    database_url: Database = None,
) -> None:
    """Put dead jobs back on the queue, their attempts forgotten."""
    from services.jobs import letters

    if (job_id is None) != all_dead:
        raise typer.BadParameter("name a job, or say --all-dead")
    with _database(data, database_url) as database:
        for retried in letters.retry(database, job_id):
            typer.echo(retried)


@cli.command()
def token(
    name: Annotated[str, typer.Argument(help="The client's name: 1-64 of A-Z a-z 0-9 . _ -")],
    tokens: Annotated[Path, typer.Option("--tokens", help="File to add its hash to.")],
    reviewer: Annotated[
        bool, typer.Option("--reviewer", help="May see whose a held case's parts are, reconcile it, and sign off.")
    ] = False,
) -> None:
    """Let a client in: prints its token, this once."""
    from services.auth import add_client

    typer.echo(add_client(tokens, name, reviews=reviewer))


@contextmanager
def _database(data: Path | None, database_url: str | None) -> "Iterator[services.db.Database]":
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


def main() -> None:
    """The console command. What an operator can mend is told without a traceback."""
    try:
        cli()
    except (ClinimmError, OSError) as error:
        typer.echo(f"error: {error}", err=True)
        raise SystemExit(2) from error


if __name__ == "__main__":
    main()
