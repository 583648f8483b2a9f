"""Letting a role take part: the grants, and whether a worker can log in as it.

Steps run on sessions logged in as the role that started the workflow; no worker ever switches roles, because whatever
can be switched can be switched back by the step's own SQL. So the server has to admit the worker as that role, which
is a line in pg_hba.conf that only its administrator can write; here it is spelled out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pgweave.runtime.connect import connect, first_line, step_conninfo
from pgweave.runtime.errors import ConnectionFailed, PgweaveError
from pgweave.runtime.migrate import require
from pgweave.runtime.queries import QUERIES

if TYPE_CHECKING:
    from collections.abc import Iterator


def enrol(dsn: str, role: str, *, http: bool = False, as_worker: bool = False) -> Iterator[str]:
    """Grant, and say what else has to be done, line by line. PgweaveError when there is no such role."""
    import psycopg

    with connect(dsn) as connection:
        require(connection)
        try:
            if as_worker:
                connection.execute(QUERIES["enrol_worker"], [role])
            else:
                connection.execute(QUERIES["enrol"], [role, http])
        except psycopg.DatabaseError as error:
            said = error.diag.message_primary or str(error)
            raise PgweaveError(
                f"Cannot enrol {role}: {said}.", "Enrol as the owner of schema df, a role that exists and may log in."
            ) from error
        database = connection.info.dbname
    if as_worker:
        yield f"{role} may work off workflows: pgweave worker --dsn .. as that role."
        return
    yield f"{role} may start workflows{' with HTTP steps' if http else ''}."
    try:
        connect(step_conninfo(dsn, role, None)).close()
    except ConnectionFailed as error:
        yield f"A worker with this --dsn cannot log in as {role} yet: {first_line(str(error))}"
        yield "Let it, in pg_hba.conf, best over the Unix socket and for the worker's account alone:"
        yield f'    local  {database}  "{role}"  peer  map=pgweave'
        yield "and in pg_ident.conf, where WORKER is the account that the worker runs under:"
        yield f'    pgweave  WORKER  "{role}"'
        yield "Then: SELECT pg_reload_conf();  Never use `trust` over TCP for this."
    else:
        yield f"A worker with this --dsn can log in as {role}."
