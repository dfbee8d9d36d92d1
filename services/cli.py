"""`clinimm-service`: serve the API, work off the queue, migrate and check what is stored, let a client in."""

from pathlib import Path
from typing import Annotated

import typer

from clinimm.errors import ClinimmError
from services import audit_command
from services.command import (
    Artifact,
    Backbone,
    Data,
    Database,
    Device,
    Registry,
    Threads,
    Tokens,
    Unpromoted,
    Vectors,
    database_of,
)

cli = typer.Typer(help=__doc__, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
jobs = typer.Typer(help="Work that is owed, and what could not be done.", no_args_is_help=True)
cli.add_typer(jobs, name="jobs")
cli.add_typer(audit_command.events, name="audit")


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
) -> None:
    """Answer the cases that wait, until told to stop. One that dies is there again within seconds."""
    from services import keeper, logs
    from services.settings import settings

    logs.configure()
    keeper.keep(
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
        )
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
    from services.blobs import Blobs
    from services.settings import settings

    folder = settings(data=data).data
    with database_of(data, database_url) as database:
        blobs = Blobs.there(folder)
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

    with database_of(data, database_url) as database:
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
    with database_of(data, database_url) as database:
        for retried in letters.retry(database, job_id):
            typer.echo(retried)


@cli.command()
def token(
    name: Annotated[str, typer.Argument(help="The client's name: 1-64 of A-Z a-z 0-9 . _ -")],
    tokens: Annotated[Path, typer.Option("--tokens", help="File to add its hash to.")],
    role: Annotated[
        str, typer.Option(help="system (sends and reads cases), clinician (also decides), auditor, researcher.")
    ] = "system",
) -> None:
    """Let a client in: prints its token, this once."""
    from services.auth import Role, add_client

    if role not in (roles := [one.value for one in Role if one is not Role.LOCAL]):
        raise typer.BadParameter(f"{role} is none of {', '.join(roles)}")
    typer.echo(add_client(tokens, name, Role(role)))


def main() -> None:
    """The console command. What an operator can mend is told without a traceback."""
    try:
        cli()
    except (ClinimmError, OSError) as error:
        typer.echo(f"error: {error}", err=True)
        raise SystemExit(2) from error


if __name__ == "__main__":
    main()
