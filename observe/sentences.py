"""How an instance stands, in words: what it waits for, until when, and how it ended.

In: a Snapshot. Out: one sentence, and for each wait what would release it, so that a notebook can name the call, a page
the button and a terminal the command.
"""

from __future__ import annotations

from datetime import UTC, timedelta
from typing import TYPE_CHECKING

from pgweave.compiler.pictures import step_words
from pgweave.grammar import durations, nodes
from pgweave.grammar.kinds import KINDS
from pgweave.observe import failures
from pgweave.observe.run_state import MARKS, Wait
from pgweave.observe.text_tables import plain, seconds, short

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from datetime import datetime

    from pgweave.grammar.editing.places import Path
    from pgweave.grammar.nodes import Node
    from pgweave.observe.run_state import RunState, StepState, WaitKind
    from pgweave.runtime.client import Instance, NodeState


def waits(state: RunState) -> tuple[Wait, ...]:
    """Everything that is waited for, in the order of the program. A wait for a child that itself waits is not repeated."""
    if state.instance.ended:
        return ()
    if state.status == "pending":
        return (Wait((), state.instance.id, "worker", None, None, "a worker"),)
    found = [
        wait
        for step in state.steps
        if step.run is not None and step.state in {"running", "waiting"} and step.run.run_status == "waiting"
        if (wait := _wait(state, step, step.run)) is not None
    ]
    waiting = {wait.instance_id for wait in found}
    return tuple(wait for wait in found if not (wait.kind == "instance" and wait.name in waiting))


def _wait(state: RunState, step: StepState, run: NodeState) -> Wait | None:
    until, kind, name = run.due_at, run.node_type, None
    end = _moment(until, state.taken_at) if until is not None else ""
    latest = f", until {end} at the latest" if end else ""
    found: WaitKind
    match kind:
        case "SIGNAL":
            found, name, what = "signal", run.signal_name, f"the signal {plain(run.signal_name or '')}{latest}"
        case _ if KINDS[kind].is_pause:
            found, what = "sleep", f"a {KINDS[kind].verb} of {_length(step.node)}, until {end}"
        case "WAIT_SCHEDULE":
            cron = step.node.cron.value if isinstance(step.node, nodes.WaitSchedule) else ""
            found, what = "schedule", f"the schedule {plain(cron)}, next at {end}"
        case "AWAIT_INSTANCE":
            found, name = "instance", run.awaited_id
            what = f"{_called(state.family, run.awaited_id)}{latest}"
        case _:
            return None
    return Wait(step.path, run.instance_id, found, name, until, what)


def _length(node: Node | None) -> str:
    """How long a pause is; its node is unknown where the program has changed since."""
    length = getattr(node, node.kind.values[0].field) if node is not None and node.kind.is_pause else None
    return "some seconds" if length is None else durations.exact(length)


def _called(family: Iterable[Instance], instance_id: str | None) -> str:
    """An instance by what it is to the one who waits."""
    for member in family:
        if member.id == instance_id:
            label = f"{short(member.label)} ({member.id})" if member.label else member.id
            return f"the child {label}, which is {member.status}"
    return f"the instance {instance_id}"


def _moment(moment: datetime, now: datetime) -> str:
    """A time as people say it: with the day only if that is another."""
    there, here = moment.astimezone(UTC), now.astimezone(UTC)
    if there.date() == here.date():
        return f"{there:%H:%M:%S} UTC"
    return f"{there:%Y-%m-%d %H:%M} UTC" if there - here > timedelta(hours=1) else f"{there:%Y-%m-%d %H:%M:%S} UTC"


def sentence(state: RunState) -> str:
    """How things stand, in one sentence."""
    instance = state.instance
    message = short(str((instance.error or {}).get("message", "")), 200)
    match instance.status:
        case "completed":
            return f"Completed in {seconds(state.seconds)}."
        case "failed":
            failure = failures.find(state)
            return f"Failed after {seconds(state.seconds)}: {failure.title if failure else message}"
        case "cancelled" if not state.ended:
            return "Cancelled: it ends before its next step."
        case "cancelled":
            return f"Cancelled after {seconds(state.seconds)}: {message.removeprefix('canceled: ')}"
        case _:
            return _now(state)


def _now(state: RunState) -> str:
    """What is running comes first; only when nothing runs is it worth saying what is waited for."""
    busy = [step for step in state.steps if step.state == "running" and not nodes.children(step.node)]
    if busy:
        more = f", and {len(busy) - 1} more" if len(busy) > 1 else ""
        return f"Runs {title(busy[0])}{more}.{_turn(busy[0])}"
    found = waits(state)
    if not found:
        return "Runs."
    more = f", and for {len(found) - 2} more" if len(found) > 2 else ""
    step = state.by_path[found[0].path]
    return f"Waits for {', and for '.join(wait.what for wait in found[:2])}{more}.{_turn(step)}"


def _turn(step: StepState) -> str:
    """Which turn of its loops, unless it is the first."""
    return f" Turn {'.'.join(map(str, step.iteration))}." if any(turn > 1 for turn in step.iteration) else ""


def lines(state: RunState) -> list[str]:
    """The whole program with the state of each step, a line for each."""
    title = f"{plain(state.instance.label or state.workflow.name)} {state.instance.id}: {state.status}"
    return [title, *("  " * (indent + 1) + _line(step) for step, indent in outline(state))]


def outline(state: RunState) -> Iterator[tuple[StepState, int]]:
    """Steps in the order in which people read them, with their depth; a sequence is no step of its own."""
    pending: list[tuple[Path, int]] = [((), 0)]
    while pending:
        path, indent = pending.pop()
        step = state.by_path[path]
        if not isinstance(step.node, nodes.Then):
            yield step, indent
            indent += 1
        # What decides comes before what it decides about.
        # nodes.children of an If: then, else, condition.
        order = (2, 0, 1) if isinstance(step.node, nodes.If) else range(len(nodes.children(step.node)))
        pending += [((*path, number), indent) for number in reversed(order)]


def title(step: StepState) -> str:
    """A step in one line: its SQL, or what it does."""
    if isinstance(step.node, nodes.CallChild):
        return short(f"child {step_words.child_title(step.node)}".rstrip())
    said = step_words.describe(step.node)
    return short(said.detail or said.verb if isinstance(step.node, nodes.Sql) else said.label)


def _line(step: StepState) -> str:
    turn = f"  (turn {'.'.join(map(str, step.iteration))})" if step.iteration else ""
    taken = f"  {seconds(step.seconds)}" if step.seconds is not None else ""
    verb = f"  {step.state}" if step.state in {"running", "waiting", "skipped"} else ""
    return f"{MARKS[step.state]} {title(step)}{turn}{verb}{taken}"
