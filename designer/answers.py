"""One request of a view in, one reply out: the table of handlers, and the handlers that touch the text or its file.

No transport in here: the studio's server and the widget call `handle`. Requests may come from any thread.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from pgweave.designer import questions
from pgweave.designer.block_palette import PALETTE
from pgweave.designer.differences import difference
from pgweave.designer.document import Behind, wire_changes
from pgweave.designer.file_sync import Keeper, new_file
from pgweave.designer.gestures import perform
from pgweave.designer.protocol import (
    ChangesResult,
    DiskEvent,
    DrawingEvent,
    EditRequest,
    EditResult,
    FixRequest,
    HelloRequest,
    HelloResult,
    PullResult,
    PushRequest,
    PushResult,
    ResolveRequest,
    SaveRequest,
    SaveResult,
    VersionRequest,
    is_request,
)
from pgweave.designer.session import Session
from pgweave.designer.units import Units
from pgweave.designer.views import View
from pgweave.formatting import format as formatted
from pgweave.grammar.editing.edits import EditError, apply
from pgweave.grammar.reading.extraction import form_of
from pgweave.runtime.errors import PgweaveError

log = logging.getLogger("pgweave.designer")

# Requests that may take long, or wait for a database: they may be answered out of order. All others are answered in the order they come.
SLOW = frozenset(
    {"complete", "hover", "cron", "compare", "start", "watch", "signal", "cancel", "instances", "past", "node"}
)


def handle(session: Session, view: View, request: object) -> None:
    """Answer a request of a view, and show a new view what is there."""
    reply = answer(session, view, request)
    view.send(reply)
    if isinstance(request, Mapping) and request.get("type") == "hello" and reply["ok"]:
        session.look()
        drawn = session.drawn
        if drawn is not None and drawn.version == reply["version"]:
            view.send(DrawingEvent(type="drawing", version=drawn.version, drawing=drawn.drawing))
        else:
            session.draw_soon()


def answer(session: Session, view: View, request: object) -> dict[str, Any]:
    """The reply to a request. An error becomes a reply that says what is wrong; nothing is raised."""
    number = request.get("id") if isinstance(request, Mapping) else None
    try:
        if not is_request(request):
            raise PgweaveError("This is not a request that this version of pgweave knows.", "Reload the page.")
        found = ANSWERS[request["type"]](session, view, request)
    except EditError as error:
        return _refusal(number, str(error), "")
    except PgweaveError as error:
        return _refusal(number, *questions.plainly(error))
    except Exception as error:
        if type(error).__module__.startswith("psycopg"):
            return _refusal(
                number,
                f"The database said: {(str(error).splitlines() or [type(error).__name__])[0]}",
                "Check the database.",
            )
        log.exception("a request of type %s", request.get("type") if isinstance(request, Mapping) else None)
        return _refusal(number, f"This request cannot be answered ({type(error).__name__}).", "Reload the page.")
    return {"type": "reply", "re": number, "ok": True, **found}


def hello(session: Session, view: View, request: HelloRequest) -> HelloResult:
    """Everything a view needs to begin; the drawing follows."""
    with session.document.lock:
        text, version = session.document.text, session.document.version
    return HelloResult(
        text=text,
        version=version,
        document=session.document.id,
        name=session.name,
        form=form_of(session.name).value,
        home=session.home,
        palette=PALETTE,
        runnable=session.operator is not None,
        dark=None,
        saved=session.saved,
    )


def push(session: Session, view: View, request: PushRequest) -> PushResult:
    """Take a view's changes."""
    return PushResult(version=session.document.push(request["version"], request["updates"]))


def pull(session: Session, view: View, request: VersionRequest) -> PullResult:
    """Give a view what it is missing."""
    with session.document.lock:
        return PullResult(version=session.document.version, updates=session.document.since(request["version"]))


def edit(session: Session, view: View, request: EditRequest) -> EditResult:
    """Turn a gesture into changes; the view applies them."""
    # Behind if the view's text is not the newest: the ids of its blocks would be another tree's.
    parsed = session.current(request["version"])
    if not parsed.ok:  # with one workflow missing, the numbers of the blocks may be another's
        raise EditError("The text cannot be read as it is; fix it first.")
    changed = perform(parsed.module, request["gesture"], request["target"], request)
    text = parsed.module.source.text
    select = None
    if changed.select is not None:
        select = Units(apply(text, changed.edits)).to_wire(changed.select)
    changes = wire_changes(text, changed.edits)
    return EditResult(version=request["version"], changes=changes, select=select, block=changed.block)


def fix(session: Session, view: View, request: FixRequest) -> ChangesResult:
    """The edits of one finding's fix."""
    text = session.current(request["version"]).module.source.text
    drawn = session.drawn
    # The number of a finding is its place in one drawing.
    if drawn is None or drawn.version != request["version"]:
        raise Behind("The text has changed meanwhile.", "Try again.")
    fix = drawn.findings[request["finding"]].fix
    return ChangesResult(version=drawn.version, changes=wire_changes(text, fix.edits if fix else ()))


def lay_out(session: Session, view: View, request: VersionRequest) -> ChangesResult:
    """The edits that lay the text out."""
    text = session.current(request["version"]).module.source.text
    changes = difference(text, formatted(text, session.name))
    return ChangesResult(version=request["version"], changes=wire_changes(text, changes))


def save(session: Session, view: View, request: SaveRequest) -> SaveResult:
    """Write the file. A widget without one has nothing to write: its text is the notebook's already."""
    if session.keeper is None and session.folder is not None:
        if not request.get("name"):
            return SaveResult(saved=False, name=session.name, name_needed=True)
        file = new_file(session.folder, str(request["name"]))
        session.keeper, session.name = Keeper(session.document, file, None), file.path.name
    if session.keeper is None:
        return SaveResult(saved=True, name=session.name)
    return _saved(session, session.keeper.save())


def resolve(session: Session, view: View, request: ResolveRequest) -> SaveResult:
    """End a conflict with the file."""
    if session.keeper is None:
        return SaveResult(saved=True, name=session.name)
    return _saved(session, session.keeper.resolve("theirs" if request["choice"] == "theirs" else "mine"))


def _saved(session: Session, result: SaveResult) -> SaveResult:
    session.tell(DiskEvent(type="disk", saved=session.saved, notice=None))
    return result


def _refusal(number: object, message: str, advice: str) -> dict[str, Any]:
    return {"type": "reply", "re": number, "ok": False, "message": message, "advice": advice}


_Answer: TypeAlias = Callable[[Session, View, Any], Mapping[str, Any]]
ANSWERS: dict[str, _Answer] = {
    "hello": hello,
    "push": push,
    "pull": pull,
    "edit": edit,
    "fix": fix,
    "format": lay_out,
    "save": save,
    "resolve": resolve,
    "complete": questions.complete,
    "hover": questions.hover,
    "cron": questions.cron,
    "compare": questions.compare,
    "start": questions.start,
    "watch": questions.watch,
    "unwatch": questions.unwatch,
    "signal": questions.signal,
    "cancel": questions.cancel,
    "instances": questions.instances,
    "past": questions.past,
    "node": questions.node,
}
