"""What an error of the database means for a worker. This is the one place that decides it.

In: an error, and whose statement it hit. Out: a Meaning, which says what is to be done; the callers do it. Decided by
SQLSTATE, never by the words of a message: those are in the server's language, and a step can say any words it likes.

Two rules stand behind the tables. Only what a step's own statement did can fail the step for good. And nothing that
would end in the same way every time is tried again without being counted.
"""

from __future__ import annotations

import re
from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import psycopg

LEASE_LOST, ALREADY_RUN, TO_BE_CANCELLED = "PWR01", "PWR02", "PWR05"
READ_ONLY = "25006"


class Whose(Enum):
    """Whose statement an error hit."""

    OWN = "one of the worker's, on its own session: claim, settle, decide, record"
    STEP = "the call that runs a step, on a session of the submitter"
    ALONE = "a step's SQL that runs by itself, on a session of the submitter"


class Meaning(Enum):
    """What an error says, and what is to be done."""

    LEASE_LOST = "another worker has the instance: stop working on it"
    ALREADY_RUN = "the node-run has ended: read what is recorded"
    TO_BE_CANCELLED = "no further step may begin: cancel the instance"
    PASSING = "about the server: wait until it is over, however long; not an attempt"
    SESSION_LOST = "the session ended during the step: again, a few times; the step may be what ends sessions"
    CONFLICT = "about steps that got in each other's way: again, a few times; then the step fails"
    SHORTAGE = "something the step needs is full or away: defer it, up to a limit; then the step fails"
    INTERNAL = "an internal error of the server, perhaps since one of its nodes is away: like SHORTAGE, for a minute"
    RUN_ALONE = "the statement refuses to run in a transaction: run it by itself"
    STEP = "about the step: it fails"
    INSTANCE = "about what the instance has written or is about to: it fails by name"
    WORKER = "about this worker or the schema it works with: it stops"


# By SQLSTATE or class; the first line that fits counts.
_REFUSALS = {
    LEASE_LOST: Meaning.LEASE_LOST,
    ALREADY_RUN: Meaning.ALREADY_RUN,
    TO_BE_CANCELLED: Meaning.TO_BE_CANCELLED,
}

# In the worker's half. Connections (08), conflicts with others (40, 55P03), resources (53), an administrator who ends or
# cancels, a timeout, a restart (57), a disk that cannot be read (58), a standby (25006): they say nothing about what was
# to be written. 42501 and the like come of statements that are the same for every instance.
_OWN = (
    (("08", "40", "53", "55P03", "57", "58", READ_ONLY), Meaning.PASSING),
    (("28", "3D", "3F", "42"), Meaning.WORKER),
)

# In the SQL of a step. A disk that is full (53100) and a database behind dblink or a foreign table (08) come back after
# minutes, so seven quick attempts would be wasted on them. Other resources (53) and conflicts pass within a second, or
# not at all: a step that always asks for too much memory has to fail. A distributed PostgreSQL says XX000 when it loses one
# of its nodes, and every PostgreSQL says so of what its authors did not expect; that may come each time.
_STEP = (
    (("40001", "40P01", "55P03", "53200", "53300", READ_ONLY), Meaning.CONFLICT),
    (("08", "53100"), Meaning.SHORTAGE),
    (("XX000",), Meaning.INTERNAL),
    (("57P",), Meaning.SESSION_LOST),
)

# "cannot run inside a transaction block" and "invalid transaction termination". In the exact way nothing has happened
# yet when they come. A statement that says so even by itself (`SELECT f()` where f commits) just fails.
_REFUSES_TRANSACTIONS = ("25001", "2D000")

# The context of an error that came before or after the SQL of a step, and not from it:
#     PL/pgSQL function df_internal.step_begin(text,text,integer[],uuid) line 4 at PERFORM
#     PL/pgSQL function df_internal.exec_node(text,text,...) line 12 at assignment
# The words around the names are in the language of the server, so only the names count. A step cannot fake these lines:
# what it says itself is inside quotation marks in a context.
_AROUND = re.compile(r'\bdf_internal\.step_(?:begin|end)\([^"\n]*\n[^"\n]*\bdf_internal\.exec_node\([^"\n]*$')


def meaning(error: psycopg.Error, whose: Whose) -> Meaning:
    """What an error means.

    `57014` (canceling statement): of the worker's own settle -> PASSING; in df_internal.step_begin -> PASSING; in the SQL of a
    step -> STEP, unless the worker itself has interrupted it, which the caller knows.
    """
    state = error.sqlstate
    if state is None:
        return _without_state(error, whose)
    if whose is Whose.OWN:
        return _REFUSALS.get(state) or _find(_OWN, state) or Meaning.INSTANCE
    if whose is Whose.STEP and _is_around(error):
        # What does not pass is about the step all the same: its role has lost its rights, its result cannot be stored.
        found = _REFUSALS.get(state) or _find(_OWN, state)
        return found if found not in {None, Meaning.WORKER} else Meaning.STEP
    if state in _REFUSES_TRANSACTIONS:
        return Meaning.RUN_ALONE if whose is Whose.STEP else Meaning.STEP
    return _find(_STEP, state) or Meaning.STEP


def _without_state(error: psycopg.Error, whose: Whose) -> Meaning:
    import psycopg

    if not isinstance(error, psycopg.OperationalError | psycopg.InterfaceError):
        return Meaning.INSTANCE if whose is Whose.OWN else Meaning.STEP  # psycopg could not read or write a value
    # The connection broke, or none was to be had. Whether the statement was carried out is for the next attempt to find.
    return Meaning.PASSING if whose is Whose.OWN else Meaning.SESSION_LOST


def _is_around(error: psycopg.Error) -> bool:
    return _AROUND.search(error.diag.context or "") is not None


def _find(table: tuple[tuple[tuple[str, ...], Meaning], ...], state: str) -> Meaning | None:
    return next((found for prefixes, found in table if state.startswith(prefixes)), None)
