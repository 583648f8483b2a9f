"""Running one SQL step to its checkpoint, on a session of the submitter.

In: a leaf with the names that have been bound so far. Out: its node-run, as recorded. Three ways, the first wherever
it is possible:

    exact    df_internal.exec_node: fence, statement and checkpoint in one transaction. Exactly once.
    alone    statements that refuse to run in a transaction (VACUUM, CREATE INDEX CONCURRENTLY, CALL with COMMIT): the
             statement by itself, then the record. At least once.
    remote   steps for another database, which has no df schema: likewise.

What fails for a passing reason (a deadlock, a lost connection) is tried again; everything else fails the node, with
what the server said about it. That there is no server, no free session or no right to write is no reason at all: the
step is put off until there is.
"""

from __future__ import annotations

import json
import random
import re
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from time import monotonic, sleep
from typing import TYPE_CHECKING, Any

from pgweave.grammar.template import statement_count
from pgweave.runtime.errors import LeaseLost, PutOff, StepInterrupted
from pgweave.runtime.queries import QUERIES
from pgweave.runtime.worker.advance import Run
from pgweave.runtime.worker.store import ALREADY_RUN, LEASE_LOST, TO_BE_CANCELLED, fenced
from pgweave.runtime.worker.substitution import Rendered, ValueProblem, render_sql

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    import psycopg

    from pgweave.runtime.worker.advance import Todo
    from pgweave.runtime.worker.sessions import Sessions
    from pgweave.runtime.worker.store import Lease, Store

    _Way = Callable[["Step", psycopg.Connection[Any]], str]

MAX_ATTEMPTS = 7  # of a statement that the server had in hand
SUSPECT_ATTEMPTS = 3  # sessions lost: the step may be what kills them, and goes on when no other suspect does
# Serialization failure, deadlock, lock not available, administrator's shutdown, crash, too many connections, no
# connection, a server that is being failed over: none of them says anything about the step.
PASSING = ("40001", "40P01", "55P03", "57P", "53", "08", "25006")
# "cannot run inside a transaction block" and "invalid transaction termination". Nothing has happened yet when they come.
REFUSES_TRANSACTIONS = ("25001", "2D000")
# The context of an error that came before or after the SQL of a step, and not from it. The words around the names are in
# the language of the server; what a step says of itself stands in quotation marks.
_AROUND = re.compile(r'\bdf_internal\.step_(?:begin|end)\([^"\n]*\n[^"\n]*\bdf_internal\.exec_node\([^"\n]*$')
CHILD_STARTER = "__df_call_child_"  # the name the expansion of df.call_child gives to its first step


class StepProblem(Exception):
    """A step that cannot work as written. error: what the node's row will say."""

    def __init__(self, message: str, **details: object) -> None:
        super().__init__(message)
        self.error: dict[str, Any] = {"message": message, **details}


class _Again(Exception):
    """Worth another attempt. error: what to say if there is none. lost: the session died of it, or with it."""

    def __init__(self, error: dict[str, Any], *, lost: bool = False) -> None:
        super().__init__(error["message"])
        self.error = error
        self.lost = lost


class _RefusesTransactions(Exception):
    """The statement has to run alone."""


class _AlreadyRun(Exception):
    """The node-run has ended; nothing was done."""


@dataclass(frozen=True, slots=True)
class Step:
    """One step in hand. database: where it runs; None where the df schema is. max_bytes: of its result."""

    store: Store
    sessions: Sessions
    lease: Lease
    todo: Todo
    rendered: Rendered
    database: str | None
    max_bytes: int

    @contextmanager
    def session(self) -> Iterator[psycopg.Connection[Any]]:
        """Lend a session of the submitter. StepProblem when there can be none, PutOff when there is none to be had now."""
        from psycopg_pool import PoolTimeout

        assert self.lease.role is not None
        role, tag = self.lease.role, (self.lease.instance_id, self.todo.key)
        with ExitStack() as held:
            try:
                session = held.enter_context(self.sessions.borrow(role, self.database, tag))
            except PoolTimeout as error:
                # The pool does not say why. What only people can mend fails the step; a crowd or a restart passes.
                obstacle = self.store.obstacle(role, self.database) or self.sessions.refusal(role, self.database)
                if obstacle is None:
                    raise PutOff(f"no session of role {role} is to be had") from error
                database = self.database or self.lease.database or "default"
                said = f"Failed to connect to database '{database}' as '{role}'. Error: {obstacle}"
                raise StepProblem(said) from error
            yield session


def execute(
    store: Store, sessions: Sessions, lease: Lease, todo: Todo, variables: Mapping[str, str], max_bytes: int
) -> Run:
    """Run a SQL step and say what it came to; a run with the status "cancelled" was interrupted by us.

    LeaseLost when the instance is no longer ours, InstanceCancelled when it is to end, PutOff when there is no server or
    no session.
    """
    began = monotonic()
    attempts, rendered = 1, Rendered("")
    try:
        rendered = _render(todo, variables)
        # A child is started where df.start is, whatever database its parent works in.
        starts_child = (todo.row.result_name or "").startswith(CHILD_STARTER)
        database = lease.database if sessions.elsewhere(lease.database) and not starts_child else None
        step = Step(store, sessions, lease, todo, rendered, database, max_bytes)
        lost = 0
        for attempts in _attempts():
            try:
                return _run(step, attempts, began)
            except _Again as again:
                last = again
                lost += again.lost
                if lost == SUSPECT_ATTEMPTS and not lease.suspect:
                    raise PutOff("the step has lost its session several times", suspect=True) from again
        raise StepProblem(**last.error) from last
    except StepInterrupted:
        return Run("cancelled")
    except StepProblem as problem:
        return store.fail(
            lease, todo.key, problem.error, query=rendered.text or None, attempts=attempts,
            elapsed_seconds=monotonic() - began,
        )  # fmt: skip


def _attempts() -> Iterator[int]:
    """Count attempts, with growing pauses. The jitter keeps two steps that deadlocked from meeting again."""
    for attempt in range(1, MAX_ATTEMPTS + 1):
        yield attempt
        if attempt < MAX_ATTEMPTS:
            sleep(random.uniform(0.5, 1.0) * 0.05 * 2**attempt)  # noqa: S311


def _render(todo: Todo, variables: Mapping[str, str]) -> Rendered:
    try:
        rendered = render_sql(todo.row.query or "", todo.names, variables)
    except ValueProblem as problem:
        raise StepProblem(str(problem)) from problem
    if statement_count(rendered.text) > 1:
        raise StepProblem(
            "SQL execution failed: a step is one statement, and this text holds several",
            hint="Make them steps of their own with ~>, or put them into a DO block.",
        )
    return rendered


def _run(step: Step, attempts: int, began: float) -> Run:
    if step.database is not None:
        return _at_least_once(step, attempts, began, _remote)
    try:
        return _exact(step, attempts)
    except _RefusesTransactions:
        return _at_least_once(step, attempts, began, _alone)


def _exact(step: Step, attempts: int) -> Run:
    """One round trip: fence, statement and checkpoint in one transaction."""
    lease, todo = step.lease, step.todo
    arguments = [
        lease.instance_id, todo.row.id, list(todo.iteration), lease.token, step.rendered.text, attempts, step.max_bytes,
    ]  # fmt: skip
    try:
        with _translated(step), step.session() as session:
            row = session.execute(QUERIES["exec_node"], arguments).fetchone()
    except _AlreadyRun:
        # Our own commit, whose answer was lost on the way: the rows know the result.
        return _recorded(step)
    assert row is not None
    assert lease.role is not None
    if step.sessions.foreign(lease.role):
        return _recorded(step)
    result, finished_at = row
    return Run("completed", result, finished_at=finished_at.timestamp())


def _at_least_once(step: Step, attempts: int, began: float, way: _Way) -> Run:
    """Look whether it has been recorded; if not, run it and record it. A crash in between runs it again."""
    if (known := step.store.run(step.lease, step.todo.key)) is not None:
        return known
    with _translated(step), step.session() as session:
        result = way(step, session)
    elapsed = monotonic() - began
    return surely(
        lambda: step.store.record(
            step.lease, step.todo.key, result, query=step.rendered.text, attempts=attempts, elapsed_seconds=elapsed
        ),
        lambda: _recorded(step),
    )


def surely(write: Callable[[], Run], recorded: Callable[[], Run]) -> Run:
    """Record an outcome through short troubles of the database: without the record it would be sought again.

    recorded: looks up what is recorded already.
    """
    import psycopg

    for attempt in _attempts():
        try:
            return write()
        except psycopg.Error as error:
            if error.sqlstate == ALREADY_RUN:
                return recorded()
            if attempt == MAX_ATTEMPTS or not (error.sqlstate is None or error.sqlstate.startswith(PASSING)):
                raise
    raise AssertionError("the last attempt returns or raises")


def _alone(step: Step, session: psycopg.Connection[Any]) -> str:
    session.execute(QUERIES["enter_workflow"], [step.lease.instance_id, step.todo.row.id])
    cursor = session.execute(step.rendered.text.encode())
    names = [column.name for column in cursor.description or ()]
    rows = [dict(zip(names, row, strict=True)) for row in cursor.fetchall()] if names else []
    result = {"rows": rows, "row_count": len(rows), "rows_affected": max(cursor.rowcount, 0)}
    return json.dumps(result, default=str, ensure_ascii=False, separators=(",", ":"))


def _remote(step: Step, session: psycopg.Connection[Any]) -> str:
    session.execute(QUERIES["make_step_runner"])
    session.execute(QUERIES["enter_workflow"], [step.lease.instance_id, step.todo.row.id])
    row = session.execute(QUERIES["run_step"], [step.rendered.text, step.max_bytes]).fetchone()
    assert row is not None
    return str(row[0])


def _recorded(step: Step) -> Run:
    run = step.store.run(step.lease, step.todo.key)
    if run is None:
        raise LeaseLost(f"the step of node {step.todo.row.id} left no record")
    return run


@contextmanager
def _translated(step: Step) -> Iterator[None]:
    """Turn what the server says about a step into what it means for the step."""
    import psycopg
    from psycopg_pool import PoolTimeout

    try:
        yield
    except PoolTimeout:
        raise  # of our own session: the database is away, which says nothing about the step
    except psycopg.Error as error:
        if not _is_refusal(error):
            raise _meaning(error, step.rendered) from error
        with fenced():
            raise


def _is_around(error: psycopg.Error) -> bool:
    return _AROUND.search(error.diag.context or "") is not None


def _is_refusal(error: psycopg.Error) -> bool:
    """Whether the schema refuses us. The SQL of a step may raise the same codes."""
    if error.sqlstate not in {LEASE_LOST, ALREADY_RUN, TO_BE_CANCELLED} or not _is_around(error):
        return False
    if error.sqlstate == ALREADY_RUN:
        raise _AlreadyRun from error
    return True


def _meaning(error: psycopg.Error, rendered: Rendered) -> Exception:
    import psycopg

    state = error.sqlstate
    if state in REFUSES_TRANSACTIONS:
        return _RefusesTransactions()
    described = describe(error, rendered)
    if state is None and isinstance(error, psycopg.OperationalError | psycopg.InterfaceError):
        # The connection broke; whether the step committed is for the next attempt to find out.
        return _Again(described, lost=True)
    if state is not None and state.startswith(PASSING):
        if _is_around(error):
            return PutOff(described["message"])
        return _Again(described, lost=state.startswith("57P"))
    return StepProblem(**described)


def describe(error: psycopg.Error, rendered: Rendered) -> dict[str, Any]:
    """What the server said: message and, where there is one, sqlstate, detail, hint and position in the step's text."""
    diagnostic = error.diag
    said = diagnostic.message_primary or str(error).strip().split("\n", maxsplit=1)[0] or type(error).__name__
    details = {
        "sqlstate": error.sqlstate,
        "detail": diagnostic.message_detail,
        "hint": diagnostic.message_hint,
        "position": _position(diagnostic, rendered),
    }
    return {
        "message": f"SQL execution failed: error returned from database: {said}",
        **{name: value for name, value in details.items() if value is not None},
    }


def _position(diagnostic: psycopg.errors.Diagnostic, rendered: Rendered) -> int | None:
    """Where in the text people wrote, from 1. Inside df_internal.exec_node the server counts in the text that ran."""
    if diagnostic.internal_position is not None and diagnostic.internal_query == rendered.text:
        return rendered.origin(int(diagnostic.internal_position) - 1) + 1
    return None
