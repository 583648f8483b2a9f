"""Which database: the one that --dsn or PGWEAVE_DSN names, else the embedded server's."""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

from pgweave.runtime import migrate
from pgweave.runtime.errors import ConnectionFailed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


def named(dsn: str | None) -> str | None:
    """The connection string that was given, if one was."""
    return dsn or os.environ.get("PGWEAVE_DSN") or None


def resolve(dsn: str | None) -> str:
    """A connection string without starting anything. ConnectionFailed when none was given and no embedded server runs."""
    if (given := named(dsn)) is not None:
        return given
    from pgweave.runtime.server import embedded  # lazy: start-up

    server = embedded.find()
    if server is None:
        raise ConnectionFailed(
            f"No --dsn was given and no embedded server runs on {embedded.default_data_dir()}.",
            "Give --dsn (or PGWEAVE_DSN), or start the server: `pgweave db install`.",
        )
    return server.dsn


@contextmanager
def prepared(dsn: str | None, progress: Callable[[str], None] | None = None, *, keep: bool = False) -> Iterator[str]:
    """A database with the df schema. A named one has to have it already; the embedded one gets it here.

    The embedded server is started if need be, and stops with its last user. keep: it goes on if the block ends well;
    if it does not (Ctrl-C), nothing runs afterwards that did not run before.
    """
    if (given := named(dsn)) is not None:
        yield given
        return
    from pgweave.runtime.server import embedded  # lazy: start-up

    with embedded.start(keep=False, progress=progress) as server:
        if migrate.install(server.dsn) and progress is not None:
            progress("installed the df schema")
        yield server.dsn
        if keep:
            embedded.start(keep=True).release()
