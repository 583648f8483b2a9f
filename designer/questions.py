"""Answers about the text that change nothing: what may stand here, what this is, when that fires, what has changed."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import islice
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cronsim import CronSim

from pgweave.compiler.assist import Assistant
from pgweave.compiler.compare import compare as compared
from pgweave.compiler.compare import variables
from pgweave.compiler.pictures import comparison
from pgweave.compiler.pictures.draw import DrawError, render
from pgweave.compiler.pictures.palette import SIGNS
from pgweave.designer.disk import Layout
from pgweave.designer.gestures import place_of_block
from pgweave.designer.protocol import (
    CompareRequest,
    CompareResult,
    CompleteRequest,
    CompleteResult,
    CronRequest,
    CronResult,
    HoverRequest,
    HoverResult,
    InstanceRequest,
    InstancesRequest,
    InstancesResult,
    NodeRequest,
    NodeResult,
    NoResult,
    PastResult,
    SignalRequest,
    StartRequest,
    StartResult,
    Suggestion,
)
from pgweave.designer.step_settings import set_sql
from pgweave.designer.units import Units
from pgweave.grammar import nodes
from pgweave.grammar.editing.edits import EditError, apply, step_place
from pgweave.grammar.meaning.cron_rules import problem
from pgweave.grammar.parser import parse
from pgweave.grammar.span import Source
from pgweave.revisions import git
from pgweave.runtime.errors import PgweaveError
from pgweave.runtime.worker.cron_times import next_tick, split
from pgweave.texts import ProgramError, decode, refuse_errors

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pgweave.compiler import assist
    from pgweave.compiler.compare import Compared
    from pgweave.designer.operator import Operator
    from pgweave.designer.session import Session
    from pgweave.designer.views import View
    from pgweave.grammar.nodes import Module

TIMES = 5  # of a schedule that are shown


def plainly(error: PgweaveError) -> tuple[str, str]:
    """An error as one sentence and one thing to do; of findings the first."""
    if not isinstance(error, ProgramError):
        return str(error), error.advice
    first, others = error.findings[0], len(error.findings) - 1
    line = error.source.location(first.span.start).line
    more = f" There are {others} more." if others > 1 else " There is one more." if others else ""
    return f"Line {line}: {first.title}.{more}", first.help


def complete(session: Session, view: View, request: CompleteRequest) -> CompleteResult:
    """What may stand at a place: of the text, or of a statement that is not in it yet."""
    module = session.current(request["version"]).module
    block, sql = request.get("block"), request.get("sql")
    # The dialog of a step has its SQL in an editor of its own, which the text does not have yet.
    if block is not None and sql is not None:
        return _complete_sql(module, str(block), str(sql), request["offset"])
    units = Units(module.source.text)
    offset = units.from_wire(request["offset"])
    found = Assistant(module.source).complete(offset)
    return {"from": units.to_wire(_start(found, offset)), "options": _options(found)}


def _complete_sql(module: Module, block: str, sql: str, offset: int) -> CompleteResult:
    """The same within a statement that the step `block` is about to have."""
    units = Units(sql)
    at = units.from_wire(offset)
    try:
        place = place_of_block(module, block)
        source = Source(module.source.name, apply(place.text, set_sql(place, sql)))
        # set_sql keeps the step's place in the tree, so the same path leads to it in the new text.
        node = step_place(parse(source).module, place.index, place.path).node
    except EditError:
        return {"from": offset, "options": []}
    assert isinstance(node, nodes.Sql)
    there = node.query.locate(at)
    found = Assistant(source).complete(there)
    # Back from the program's offsets to those of the statement: what is typed has the same length in both.
    return {"from": units.to_wire(at - (there - _start(found, there))), "options": _options(found)}


def _start(found: list[assist.Suggestion], offset: int) -> int:
    """Where what they complete begins."""
    return min((one.span.start for one in found), default=offset)


def _options(found: list[assist.Suggestion]) -> list[Suggestion]:
    return [
        Suggestion(label=one.label, kind=one.kind, detail=one.detail, documentation=one.documentation) for one in found
    ]


def hover(session: Session, view: View, request: HoverRequest) -> HoverResult:
    """What this is."""
    source = session.current(request["version"]).module.source
    units = Units(source.text)
    found = Assistant(source).hover(units.from_wire(request["offset"]))
    if found is None:
        return {"from": request["offset"], "to": request["offset"], "markdown": None}
    return {
        "from": units.to_wire(found.span.start),
        "to": units.to_wire(found.span.end),
        "markdown": found.markdown,
    }


def cron(session: Session, view: View, request: CronRequest) -> CronResult:
    """A schedule in words, with the next times that it names."""
    return schedule(str(request["expression"]), request.get("zone") or None, datetime.now(UTC))


def schedule(expression: str, zone: str | None, now: datetime) -> CronResult:
    """The same after `now`. PgweaveError when the expression is none, or names no time."""
    try:
        own, fields = split(expression)
        shown = ZoneInfo(zone) if zone else own
    except (ValueError, ZoneInfoNotFoundError) as error:
        raise PgweaveError(f"No schedule: {error}.", "Name a zone such as Europe/Berlin.") from error
    # `split` has taken CRON_TZ off.
    wrong = problem(fields)
    if wrong is not None:
        raise PgweaveError(
            f"No schedule: {wrong.detail}.", "Write five fields: minute, hour, day of month, month, day of week."
        )
    times = [at.astimezone(shown) for at in islice(_ticks(expression, now), TIMES)]
    if not times:
        raise PgweaveError("No schedule: this never happens.", "Check the day and the month.")
    return CronResult(
        words=str(CronSim(fields, now.astimezone(own)).explain()),
        next=[f"{at:%a} {at.day} {at:%b} {at:%Y %H:%M} {at.tzname()}" for at in times],
    )


def _ticks(expression: str, now: datetime) -> Iterator[datetime]:
    while True:
        try:
            now = next_tick(expression, now)
        except ValueError:
            return
        yield now


def compare(session: Session, view: View, request: CompareRequest) -> CompareResult:
    """What has changed, in words and as a picture."""
    old = _before(session, request)
    new = session.current(session.document.version).module.source
    before, after = parse(old), parse(new)
    refuse_errors(before.diagnostics, old)
    refuse_errors(after.diagnostics, new)
    differing = [one for one in compared(before.module, after.module) if one.what]
    words = [f"{SIGNS[change.what]} {change.what} {change.said}" for change in variables(before.module, after.module)]
    for one in differing:
        heading = f"{one.name}: " if len(differing) > 1 or not one.changes else ""
        words += [f"{heading}{SIGNS[change.what]} {change.what} {change.said}" for change in one.changes]
        if not one.changes:
            words.append(f"{heading}{one.what}")
    return CompareResult(svg=_picture(differing, dark=bool(request.get("dark"))), words=words)


def _before(session: Session, request: CompareRequest) -> Source:
    match request["with"]:
        case "text":
            return Source(session.name, str(request.get("text", "")).replace("\r\n", "\n"))
        case "saved" if session.keeper is not None:
            return Source(session.name, session.keeper.base or "")
        case "git" if session.keeper is not None:
            return Source(session.name, committed(session.keeper.file.path))
        case _:
            raise PgweaveError("This text has no file.", "Compare it with another text instead.")


def committed(path: Path) -> str:
    """A file as of the last commit. PgweaveError when git has none."""
    try:
        data = git("-C", str(path.parent), "show", f"HEAD:./{path.name}")
    except PgweaveError as error:
        raise PgweaveError(f"git has no earlier version of {path.name}.", "Commit the file first.") from error
    # With line feeds only, as the document has them; else every line of a Windows file would differ.
    return Layout.of(decode(path.name, data).text)[0]


def _picture(differing: list[Compared], *, dark: bool) -> str | None:
    """The first workflow that differs: a picture of one is what can be read."""
    if not differing:
        return None
    try:
        return render(comparison.text(differing[0], "svg", dark=dark), "svg").decode()
    except DrawError:
        return None  # nothing that draws is installed; the words say it all


# With a database


def _operator(session: Session) -> Operator:
    if session.operator is None:
        raise PgweaveError("Nothing can be run from here.", "Run it with `pgweave run`.")
    return session.operator


def start(session: Session, view: View, request: StartRequest) -> StartResult:
    """Start a workflow."""
    values = {str(name): str(value) for name, value in (request.get("variables") or {}).items()}
    label = request.get("label") or None
    target, ask = str(request.get("target") or ""), bool(request.get("check", True))
    return StartResult(instance=_operator(session).start(session.draw().parsed, view, target, label, values, ask=ask))


def watch(session: Session, view: View, request: InstanceRequest) -> NoResult:
    """Watch an instance."""
    _operator(session).watch(view, str(request["instance"]))
    return NoResult()


def unwatch(session: Session, view: View, request: InstanceRequest) -> NoResult:
    """Watch it no more."""
    _operator(session).unwatch(view, str(request["instance"]))
    return NoResult()


def signal(session: Session, view: View, request: SignalRequest) -> NoResult:
    """Send a signal."""
    _operator(session).signal(str(request["instance"]), str(request["name"]), request.get("payload"))
    return NoResult()


def cancel(session: Session, view: View, request: InstanceRequest) -> NoResult:
    """Cancel an instance."""
    _operator(session).cancel(str(request["instance"]))
    return NoResult()


def instances(session: Session, view: View, request: InstancesRequest) -> InstancesResult:
    """List instances."""
    text = request.get("text") or None
    limit = int(request.get("limit") or 100)
    return InstancesResult(instances=_operator(session).instances(request.get("status") or None, text, limit))


def past(session: Session, view: View, request: InstanceRequest) -> PastResult:
    """The program of an instance."""
    return _operator(session).past(str(request["instance"]))


def node(session: Session, view: View, request: NodeRequest) -> NodeResult:
    """One step of an instance."""
    return _operator(session).node(str(request["instance"]), str(request["block"]))
