"""Letting a role take part: the grants, and whether a worker can log in as it.

Steps run on sessions logged in as the role that started the workflow; no worker ever switches roles, because whatever
can be switched can be switched back by the step's own SQL. So the server has to admit the worker as that role: by a line
in pg_hba.conf that only its administrator can write, or by a password of that role in the worker's password file. Both
are spelled out here. The password in the worker's own connection string is for the worker's role alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pgweave.runtime.connect import ask, connect, first_line, step_conninfo
from pgweave.runtime.errors import ConnectionFailed, PgweaveError
from pgweave.runtime.migrate import require

if TYPE_CHECKING:
    from collections.abc import Iterator


def enrol(dsn: str, role: str, *, http: bool = False, as_worker: bool = False) -> Iterator[str]:
    """Grant, and say what else has to be done, line by line. PgweaveError when there is no such role."""
    import psycopg

    with connect(dsn) as connection:
        require(connection)
        try:
            if as_worker:
                ask(connection, "enrol_worker", [role])
            else:
                ask(connection, "enrol", [role, http])
        except psycopg.DatabaseError as error:
            said = error.diag.message_primary or str(error)
            raise PgweaveError(
                f"Cannot enrol {role}: {said}.", "Enrol as the owner of schema df, a role that exists and may log in."
            ) from error
        database, own_role = connection.info.dbname, connection.info.user
    if as_worker:
        yield f"{role} may work off workflows: pgweave worker --dsn .. as that role."
        return
    yield f"{role} may start workflows{' with HTTP steps' if http else ''}."
    try:
        connect(step_conninfo(dsn, role, None, own_role=own_role)).close()
    except ConnectionFailed as error:
        yield f"A worker with this --dsn cannot log in as {role} yet: {first_line(str(error))}"
        yield from _ways_in(database, role)
    else:
        yield f"A worker with this --dsn can log in as {role}."


def _ways_in(database: str, role: str) -> Iterator[str]:
    """How a worker can log in as this role: on a server of one's own, and on one that somebody else manages."""
    yield "On a server of your own let it in, best over the Unix socket and for the worker's account alone. In pg_hba.conf:"
    yield f'    local  {database}  "{role}"  peer  map=pgweave'
    yield "and in pg_ident.conf, where WORKER is the account that the worker runs under:"
    yield f'    pgweave  WORKER  "{role}"'
    yield "Then: SELECT pg_reload_conf();  Never use `trust` over TCP for this."
    yield "On a managed server, where pg_hba.conf is out of reach, give the role a password and the worker a password file"
    yield "(~/.pgpass or PGPASSFILE, mode 0600) with a line for each role:"
    yield f"    HOST:PORT:{database}:{role}:PASSWORD"
