"""Carrying out leaves: which are steps to run, and how a wait begins.

In: a leaf that `advance` says has been reached. Out: for a wait, what the database has to know of it; for a step, its
run (`sql_step`, `http.http_step`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pgweave.grammar.kinds import Wait
from pgweave.runtime.http import http_step
from pgweave.runtime.worker import sql_step
from pgweave.runtime.worker.sql_step import StepProblem
from pgweave.runtime.worker.substitution import ValueProblem, render_raw

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from pgweave.runtime.http.ssrf import Policy
    from pgweave.runtime.worker.advance import Run, Todo
    from pgweave.runtime.worker.sessions import Sessions
    from pgweave.runtime.worker.store import Lease, Store


def sort(todo: list[Todo]) -> tuple[list[Todo], list[Todo]]:
    """Split leaves into waits, which are only written down, and steps, which are executed."""
    waits = [item for item in todo if item.row.kind.waits_for is not Wait.ACTIVITY]
    return waits, [item for item in todo if item.row.kind.waits_for is Wait.ACTIVITY]


def wait_row(todo: Todo, variables: Mapping[str, str], now: datetime | None) -> dict[str, object]:
    """Describe a wait for the database. now: its clock. StepProblem when the configuration makes no sense."""
    row: dict[str, object] = {"node_id": todo.row.id, "iteration": list(todo.iteration)}
    kind = todo.row.kind
    if kind.is_pause:
        return row | {"seconds": _seconds(todo.row.query or "", kind.verb)}
    try:
        match todo.row.node_type:
            case "WAIT_SCHEDULE":
                from pgweave.runtime.worker.cron_times import next_tick  # lazy: start-up, cronsim

                assert now is not None
                return row | {"due_at": next_tick(str(todo.row.config()["cron_expr"]), now).isoformat()}
            case "SIGNAL":
                config = todo.row.config()
                return row | {"signal_name": _name(config), "seconds": _timeout(config)}
            case "AWAIT_INSTANCE":
                return row | _awaited(todo, variables)
            case other:
                raise StepProblem(f"Unknown node type: {other}")
    except (KeyError, ValueError) as error:
        raise StepProblem(f"Invalid {todo.row.node_type} config: {error}") from error


FOREVER = 1e12  # seconds; the database takes any such time for infinity. Rows may be written by hand


def _seconds(text: str, verb: str) -> float:
    if not text.isdecimal():
        raise StepProblem(f"Invalid {verb} duration: {text}")
    return min(int(text), FOREVER)


def _timeout(config: Mapping[str, object]) -> float | None:
    value = config.get("timeout_seconds")
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not value > 0:
        raise ValueError(f"timeout_seconds is {value!r}, not a positive number")
    return min(value, FOREVER)


def _name(config: Mapping[str, object]) -> str:
    name = config["signal_name"]
    if not isinstance(name, str):
        raise ValueError(f"signal_name is {name!r}, not a text")
    return name


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
    # PostgreSQL has no NUL in texts, and no instance has an id with one.
    return {"awaited_id": instance_id.replace("\0", "�"), "seconds": _timeout(config)}


def execute(
    store: Store,
    sessions: Sessions,
    lease: Lease,
    todo: Todo,
    variables: Mapping[str, str],
    policy: Policy,
    max_bytes: int,
    *,
    typed: bool,
) -> Run:
    """Run one step to its checkpoint and say what it came to. policy: what HTTP steps may reach. typed: as in `Step`."""
    match todo.row.node_type:
        case "SQL":
            return sql_step.execute(store, sessions, lease, todo, variables, max_bytes, typed=typed)
        case "HTTP" | "HTTP_MULTIPART":
            return http_step.execute(store, sessions, lease, todo, variables, policy, max_bytes)
        case other:
            return store.fail(lease, todo.key, {"message": f"Unknown node type: {other}"})
