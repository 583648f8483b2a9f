"""Carrying out one leaf: a SQL step, or the beginning of a wait.

In: a leaf that `advance` says has been reached. Out: its checkpoint, written by the database in the step's own
transaction, or its failure. What fails for a passing reason (a deadlock, a lost connection) is tried again; everything
else fails the node, with what the server said about it.
"""

from __future__ import annotations

import random
from time import monotonic, sleep
from typing import TYPE_CHECKING, Any

from pgweave.grammar.kinds import Wait
from pgweave.grammar.template import statement_count
from pgweave.runtime.advance import Run
from pgweave.runtime.errors import LeaseLost
from pgweave.runtime.queries import QUERIES
from pgweave.runtime.store import ALREADY_RUN, fenced
from pgweave.runtime.values import Rendered, ValueProblem, render_raw, render_sql

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    import psycopg

    from pgweave.runtime.advance import Todo
    from pgweave.runtime.sessions import Sessions
    from pgweave.runtime.store import Lease, Store

MAX_ATTEMPTS = 5
# Serialization failure, deadlock, lock not available, administrator's shutdown, crash, too many connections, no
# connection: none of them says anything about the step.
PASSING = ("40001", "40P01", "55P03", "57P", "53", "08")


class StepProblem(Exception):
    """A step that cannot work as written. error: what the node's row will say."""

    def __init__(self, message: str, **details: object) -> None:
        super().__init__(message)
        self.error: dict[str, Any] = {"message": message, **details}


def sort(todo: list[Todo]) -> tuple[list[Todo], list[Todo]]:
    """Split leaves into waits, which are only written down, and steps, which are executed."""
    waits = [item for item in todo if item.row.kind.waits_for is not Wait.ACTIVITY]
    return waits, [item for item in todo if item.row.kind.waits_for is Wait.ACTIVITY]


def wait_row(todo: Todo, variables: Mapping[str, str], now: datetime | None) -> dict[str, object]:
    """Describe a wait for the database. now: its clock. StepProblem when the configuration makes no sense."""
    row: dict[str, object] = {"node_id": todo.row.id, "iteration": list(todo.iteration)}
    try:
        match todo.row.node_type:
            case "SLEEP":
                return row | {"seconds": _seconds(todo.row.query or "")}
            case "WAIT_SCHEDULE":
                from pgweave.runtime.cron import next_tick

                assert now is not None
                return row | {"due_at": next_tick(str(todo.row.config()["cron_expr"]), now).isoformat()}
            case "SIGNAL":
                config = todo.row.config()
                return row | {"signal_name": config["signal_name"], "seconds": config.get("timeout_seconds")}
            case "AWAIT_INSTANCE":
                return row | _awaited(todo, variables)
            case other:
                raise StepProblem(f"Unknown node type: {other}")
    except (KeyError, ValueError) as error:
        raise StepProblem(f"Invalid {todo.row.node_type} config: {error}") from error


def _seconds(text: str) -> int:
    if not text.isdigit():
        raise StepProblem(f"Invalid sleep duration: {text}")
    return int(text)


def _awaited(todo: Todo, variables: Mapping[str, str]) -> dict[str, object]:
    config = todo.row.config()
    template = config.get("instance_id")
    if not isinstance(template, str):
        raise StepProblem("AWAIT_INSTANCE missing instance_id")
    try:
        instance_id = render_raw(template, todo.names, variables).strip()
    except ValueProblem as problem:
        raise StepProblem(str(problem)) from problem
    if not instance_id:
        raise StepProblem("AWAIT_INSTANCE resolved to an empty instance_id")
    return {"awaited_id": instance_id, "seconds": config.get("timeout_seconds")}


def execute(
    store: Store, sessions: Sessions, lease: Lease, todo: Todo, variables: Mapping[str, str], max_bytes: int
) -> Run:
    """Run a SQL step to its checkpoint and say what it came to.

    LeaseLost when the instance is no longer ours, InstanceCancelled when it is to end.
    """
    began = monotonic()
    attempts, rendered = 1, Rendered("")
    try:
        rendered = _render(todo, variables)
        while True:
            try:
                return _exec_node(store, sessions, lease, todo, rendered, attempts, max_bytes)
            except _Again as again:
                if attempts >= MAX_ATTEMPTS:
                    raise StepProblem(**again.error) from again
                # Jitter keeps two steps that deadlocked from meeting again.
                sleep(random.uniform(0.5, 1.0) * 0.05 * 2**attempts)  # noqa: S311
                attempts += 1
    except StepProblem as problem:
        return store.fail(
            lease, todo.key, problem.error, query=rendered.text or None, attempts=attempts,
            elapsed_seconds=monotonic() - began,
        )  # fmt: skip


class _Again(Exception):
    def __init__(self, error: dict[str, Any]) -> None:
        super().__init__(error["message"])
        self.error = error


def _render(todo: Todo, variables: Mapping[str, str]) -> Rendered:
    if todo.row.node_type != "SQL":
        raise StepProblem(f"This version of pgweave does not run {todo.row.node_type} steps yet")
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


def _exec_node(
    store: Store, sessions: Sessions, lease: Lease, todo: Todo, rendered: Rendered, attempts: int, max_bytes: int
) -> Run:
    """One round trip: fence, statement and checkpoint in one transaction."""
    import psycopg
    from psycopg_pool import PoolTimeout

    assert lease.role is not None
    arguments = [lease.instance_id, todo.row.id, list(todo.iteration), lease.token, rendered.text, attempts, max_bytes]
    try:
        with fenced(), sessions.borrow(lease.role, lease.database) as session:
            row = session.execute(QUERIES["exec_node"], arguments).fetchone()
    except PoolTimeout as error:
        message = f"Failed to connect to database '{lease.database or 'default'}' as '{lease.role}'. Error: {error}"
        raise _Again({"message": message}) from error
    except psycopg.Error as error:
        if error.sqlstate != ALREADY_RUN:
            raise _classify(error, rendered) from error
        # Our own commit, whose answer was lost on the way: the rows know the result.
        return _recorded(store, lease, todo)
    assert row is not None
    if sessions.foreign(lease.role):
        return _recorded(store, lease, todo)
    result, finished_at = row
    return Run("completed", result, finished_at=finished_at.timestamp())


def _recorded(store: Store, lease: Lease, todo: Todo) -> Run:
    run = store.run(lease, todo.key)
    if run is None:
        raise LeaseLost(f"the step of node {todo.row.id} left no record")
    return run


def _classify(error: psycopg.Error, rendered: Rendered) -> Exception:
    import psycopg

    state = error.sqlstate
    described = _describe(error, rendered)
    if state is None and isinstance(error, psycopg.OperationalError | psycopg.InterfaceError):
        # The connection broke; whether the step committed is for the next attempt to find out.
        return _Again(described)
    if state is not None and state.startswith(PASSING):
        return _Again(described)
    return StepProblem(**described)


def _describe(error: psycopg.Error, rendered: Rendered) -> dict[str, Any]:
    diagnostic = error.diag
    said = diagnostic.message_primary or str(error).strip().split("\n", maxsplit=1)[0] or type(error).__name__
    position = None
    if diagnostic.internal_position is not None and diagnostic.internal_query == rendered.text:
        # The server counts from 1 in the text that ran; people look at the text they wrote.
        position = rendered.origin(int(diagnostic.internal_position) - 1) + 1
    details = {
        "sqlstate": error.sqlstate,
        "detail": diagnostic.message_detail,
        "hint": diagnostic.message_hint,
        "position": position,
    }
    return {
        "message": f"SQL execution failed: error returned from database: {said}",
        **{name: value for name, value in details.items() if value is not None},
    }
