"""`clinimm-service audit`: whether what is stored is what was written, and whether it can be computed again."""

from pathlib import Path
from typing import Annotated

import typer

from services.command import Artifact, Backbone, Data, Database, Device, Registry, Threads, database_of

events = typer.Typer(help="The record of who did what, and what it proves.", no_args_is_help=True)


@events.command()
def verify(
    heads: Annotated[Path | None, typer.Option(help="The heads that were kept; by default those in the data.")] = None,
    key: Annotated[
        Path | None, typer.Option(help="The public key they are signed with; by default beside them.")
    ] = None,
    quick: Annotated[bool, typer.Option("--quick", help="Do not read files: only whether they are there.")] = False,
    data: Data = None,
    database_url: Database = None,
) -> None:
    """Tell what was done to the events since they were written: changed, taken out, put in, swapped, cut off, written
    anew; by their numbers. And what was done to that which they tell of: rows that were changed, are missing, or were
    stored by no event; files that are gone or damaged; by their ids. Rows that an earlier version stored are counted as
    unbound: their events hold little of them. Working state is not covered: attempts of jobs, cases that wait, workers,
    the queue's own tables, marks of lost files. Exits with 0 if nothing, 1 if something, 2 if it cannot be told."""
    from services.audit import heads as signed
    from services.audit.verify import verify as verified
    from services.blobs import Blobs
    from services.cases.hold import known_secret
    from services.evidence.finding import Bond
    from services.evidence.rows import Evidence
    from services.settings import settings

    given = settings(data=data)
    file = heads or given.heads_folder / signed.HEADS
    with database_of(data, database_url) as database:
        verdict = verified(database, signed.read_heads(file), signed.read_key(key or file.with_name(signed.PUBLIC)))
        wrong = [*map(typer.echo, verdict.findings)]
        bond = Bond(known_secret(given.data))
        evidence = Evidence(database, Blobs.there(given.data), bond, deep=not quick)
        wrong += map(typer.echo, evidence.findings())
    typer.echo(f"events\t{verdict.seq}\t{verdict.hash}")
    typer.echo(f"rows\t{bond.bound} bound\t{bond.unbound} unbound")
    raise typer.Exit(1 if wrong else 0)


@events.command()
def replay(
    report: Annotated[str | None, typer.Argument(help="A case's id, for its latest report, or a result's.")] = None,
    every: Annotated[bool, typer.Option("--all", help="Every report, the latest first.")] = False,
    limit: Annotated[int | None, typer.Option(min=1, help="With --all, so many.")] = None,
    data: Data = None,
    registry: Registry = None,
    artifact: Artifact = None,
    backbone: Backbone = None,
    database_url: Database = None,
    threads: Threads = None,
    device: Device = None,
) -> None:
    """Compute reports again from the kept inputs, and compare them with what is on record, to the byte. Tells of each
    whether it is the same, within tolerance (on another platform), or differs, with the first cause and where. Exits
    with 0 if all are the same or within tolerance, 1 if any differs, 2 if of one it cannot be told."""
    from services import replay as replaying
    from services.settings import settings

    if (report is None) != every:
        raise typer.BadParameter("name a report, or say --all")
    given = settings(
        data=data, registry=registry, artifact=artifact, backbone=backbone,
        database_url=database_url, threads=threads, device=device,
    )  # fmt: skip
    with database_of(data, database_url) as database, replaying.opened(database, given) as again:
        wanted = [replaying.asked(database, report)] if report else replaying.every(database, limit)
        verdicts = set()
        for found in map(again, wanted):
            typer.echo(found)
            verdicts.add(found.verdict)
    raise typer.Exit(replaying.exit_code(verdicts))


@events.command()
def export(
    case_id: Annotated[str, typer.Argument(help="A case's id.")],
    to: Annotated[Path, typer.Option(help="The zip to write; it must not be there.")],
    with_inputs: Annotated[bool, typer.Option("--with-inputs", help="With the DICOM files, names and all.")] = False,
    data: Data = None,
    database_url: Database = None,
) -> None:
    """Write all that is on record of a case as a zip that proves itself, and holds what checks it: verify.py."""
    from services import audit
    from services.blobs import Blobs
    from services.bundles.service import Bundles
    from services.settings import settings

    given = settings(data=data)
    with database_of(data, database_url) as database, to.open("xb") as file:
        to.chmod(0o600)
        try:
            Bundles(database, Blobs.there(given.data), given.heads_folder).write(case_id, file, with_inputs=with_inputs)
            with database.write() as session:
                audit.record(session, audit.OPERATOR, "case.exported", case_id, shown=[case_id], inputs=with_inputs)
        except BaseException:
            to.unlink()
            raise
