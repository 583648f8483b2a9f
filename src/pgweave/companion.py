"""The companion `NAME.setup.sql` of a program `NAME.df`: what makes the tables that it uses."""

from __future__ import annotations

from typing import TYPE_CHECKING

import psycopg

from pgweave.runtime.connect import connect
from pgweave.runtime.errors import PgweaveError
from pgweave.texts import read

if TYPE_CHECKING:
    from pathlib import Path


def set_up(program: Path, dsn: str) -> Path | None:
    """Run the companion in one transaction, if there is one; return its path. PgweaveError, with its line, when it fails."""
    companion = program.with_suffix(".setup.sql")
    if not companion.is_file():
        return None
    source = read(companion)
    try:
        with connect(dsn) as connection, connection.transaction():
            connection.execute(source.text.encode())
    except psycopg.DatabaseError as error:
        # Positions of PostgreSQL count from 1. The file is sent as one text, so they are places in the file.
        line = source.location(int(error.diag.statement_position or 1) - 1).line
        raise PgweaveError(
            f"{companion}:{line}: the set-up failed: {error.diag.message_primary}",
            error.diag.message_hint or "Fix it, or leave it out with --no-setup.",
        ) from error
    return companion
