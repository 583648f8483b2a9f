"""Which database a session of Python works with, and the embedded server that lives as long as the session does.

The first of: the connection string that a call names, the one that `use` was last given, PGWEAVE_DSN, the embedded server.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from pgweave.runtime import migrate, target

if TYPE_CHECKING:
    from pathlib import Path

    from pgweave.runtime.server.embedded import Server

_lock = threading.Lock()
_used: list[str] = []  # what `use` was given
_servers: dict[Path, Server] = {}  # by data directory; each is kept until this process ends


def use(dsn: str) -> None:
    """Work with this database from here on."""
    _used[:] = [dsn]


def known(dsn: str | None = None) -> str | None:
    """The database of this session if there is one already; nothing is started to find out."""
    return (
        dsn
        or (_used[0] if _used else None)
        or target.named(None)
        or next((server.dsn for server in _servers.values()), None)
    )


def current(dsn: str | None = None) -> str:
    """DSN of a database to work with. The embedded server is started, and given its schema, when nothing else is named.

    It stays until this process ends, and longer if another process uses it. PgweaveError when it cannot be started.
    """
    found = dsn or (_used[0] if _used else None) or target.named(None)
    return found if found is not None else _embedded()


def is_embedded(dsn: str) -> bool:
    """Whether it is the embedded server that this session has started."""
    return any(server.dsn == dsn for server in _servers.values())


def _embedded() -> str:
    from pgweave.runtime.server import embedded  # lazy: start-up, most sessions name a database or only parse

    where = embedded.default_data_dir()
    with _lock:
        if where not in _servers or not embedded.status(where).running:
            server = embedded.start(keep=False)
            migrate.install(server.dsn)
            _servers[where] = server
        return _servers[where].dsn
