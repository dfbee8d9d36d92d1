"""What an earlier schema has no room for. A migration is taken back only where nothing is lost by it."""

from collections.abc import Mapping

import sqlalchemy as sa

from clinimm.errors import ConfigError


def refuse_losses(connection: sa.Connection, kept: Mapping[str, str]) -> None:
    """`kept` says what the later tables hold and the earlier ones cannot, and from where on it is counted: `FROM ...`.
    Raises ConfigError that tells how much there is of each."""
    counts = {name: connection.scalar(sa.text(f"SELECT count(*) {rows}")) or 0 for name, rows in kept.items()}
    found = [f"{name}: {count}" for name, count in counts.items() if count]
    if found:
        raise ConfigError(
            f"the earlier tables have no room for what came since ({', '.join(found)})",
            where=connection.engine.url.render_as_string(hide_password=True),
            mend="go on with this version, or restore the backup of before `clinimm-service migrate`, which loses it",
        )
