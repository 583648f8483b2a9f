"""One designer: a document, the views that show it, and the answers to what they ask. No transport in here.

A view is anything that takes messages; the studio's are web sockets, a notebook's are widgets. Requests may come from
any thread. What takes long is not done while somebody waits: drawings are made on a thread of their own, only ever of
the newest version, and sent to every view.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from threading import Lock, Thread
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeAlias

from pgweave.config import Config
from pgweave.designer import questions
from pgweave.designer.block_palette import PALETTE
from pgweave.designer.document import KERNEL, Behind, Document, wire_changes
from pgweave.designer.drawing import draw
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
    NoticeEvent,
    PullResult,
    PushRequest,
    PushResult,
    ResolveRequest,
    SaveRequest,
    SaveResult,
    Update,
    UpdatesEvent,
    VersionRequest,
    is_request,
)
from pgweave.designer.units import Units
from pgweave.grammar.editing.edits import EditError
from pgweave.grammar.parser import parse
from pgweave.grammar.reading.extraction import form_of
from pgweave.grammar.span import Source
from pgweave.runtime.errors import PgweaveError
from pgweave.workflow import findings
from pgweave.workflow import format as formatted

if TYPE_CHECKING:
    from pathlib import Path

    from pgweave.designer.operator import Operator
    from pgweave.designer.protocol import Drawing
    from pgweave.grammar.diagnostics import Diagnostic
    from pgweave.grammar.parser import Parsed

log = logging.getLogger("pgweave.designer")

# Requests that may take long, or wait for a database: they may be answered out of turn. All others in the order they come.
SLOW = frozenset(
    {"complete", "hover", "cron", "compare", "start", "watch", "signal", "cancel", "instances", "past", "node"}
)

Message: TypeAlias = Mapping[str, Any]


class View(Protocol):
    """One open page or widget."""

    def send(self, message: Message) -> None:
        """Take an event; from any thread, and without waiting."""


@dataclass(frozen=True, slots=True)
class Drawn:
    """One version of the text with everything that is known about it."""

    version: int
    parsed: Parsed
    findings: tuple[Diagnostic, ...]
    drawing: Drawing


class Session:
    """One document on show.

    keeper: of its file, if it has one. folder: where it gets one when it is saved. operator: carries out what needs a
    database; None: nothing can be run from here.
    """

    def __init__(
        self,
        document: Document,
        *,
        name: str,
        home: Literal["studio", "widget"],
        keeper: Keeper | None = None,
        operator: Operator | None = None,
        config: Config | None = None,
        folder: Path | None = None,
    ) -> None:
        self.document = document
        self.name = name
        self.home = home
        self.keeper = keeper
        self.folder = folder
        self.operator = operator
        self.config = config or Config()
        self.views: list[View] = []
        self.drawn: Drawn | None = None
        self._drawing = Lock()
        self._lock = Lock()
        self._draws = False
        self._trouble: str | None = None  # with the file, as it was told last
        self._parsed: tuple[int, Parsed] | None = None
        document.listeners.append(self._updated)

    # Views

    def join(self, view: View) -> None:
        """Show the document here too."""
        self.views.append(view)

    def leave(self, view: View) -> None:
        """A view has closed."""
        if view in self.views:
            self.views.remove(view)
        if self.operator is not None:
            self.operator.forget(view)

    def tell(self, message: Message) -> None:
        """Send an event to every view."""
        for view in tuple(self.views):
            view.send(message)

    def notice(self, message: str, advice: str = "", level: Literal["info", "warning", "error"] = "info") -> None:
        """Tell every view a line for the person."""
        self.tell(NoticeEvent(type="notice", level=level, message=message, advice=advice))

    def look(self) -> None:
        """Has somebody else changed the file? Call it now and then."""
        if self.keeper is None:
            return
        trouble = None
        try:
            event = self.keeper.look()
        except PgweaveError as error:
            trouble = f"{error} {error.advice}".strip()
            event = None if trouble == self._trouble else DiskEvent(type="disk", saved=False, notice=trouble)
        self._trouble = trouble
        if event is not None:
            self.tell(event)

    # Requests

    def handle(self, view: View, request: object) -> None:
        """Answer a request of a view, and show a new view what is there."""
        answer = self.answer(view, request)
        view.send(answer)
        if isinstance(request, Mapping) and request.get("type") == "hello" and answer["ok"]:
            self.look()
            drawn = self.drawn
            if drawn is not None and drawn.version == answer["version"]:
                view.send(DrawingEvent(type="drawing", version=drawn.version, drawing=drawn.drawing))
            else:
                self._draw_soon()

    def answer(self, view: View, request: object) -> dict[str, Any]:
        """The reply to a request. What the person can do something about comes back as words; nothing is raised."""
        number = request.get("id") if isinstance(request, Mapping) else None
        try:
            if not is_request(request):
                raise PgweaveError("This is not a request that this version of pgweave knows.", "Reload the page.")
            answer = ANSWERS[request["type"]](self, view, request)
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
        return {"type": "reply", "re": number, "ok": True, **answer}

    def hello(self, view: View, request: HelloRequest) -> HelloResult:
        """Everything a view needs to begin; the drawing follows."""
        with self.document.lock:
            text, version = self.document.text, self.document.version
        return HelloResult(
            text=text,
            version=version,
            document=self.document.id,
            name=self.name,
            form=form_of(self.name).value,
            home=self.home,
            palette=PALETTE,
            runnable=self.operator is not None,
            dark=None,
            saved=self.saved,
        )

    @property
    def saved(self) -> bool:
        """Whether nothing would be lost."""
        if self.keeper is None:
            return self.folder is None or not self.document.text
        return self.keeper.saved

    def push(self, view: View, request: PushRequest) -> PushResult:
        """Take a view's changes."""
        return PushResult(version=self.document.push(request["version"], request["updates"]))

    def pull(self, view: View, request: VersionRequest) -> PullResult:
        """Give a view what it is missing."""
        with self.document.lock:
            return PullResult(version=self.document.version, updates=self.document.since(request["version"]))

    def edit(self, view: View, request: EditRequest) -> EditResult:
        """Work a gesture out; the view makes the change."""
        parsed = self.current(request["version"])
        if not parsed.ok:  # a block's number may belong to another workflow as long as one is missing
            raise EditError("The text cannot be read as it is; mend it first.")
        changed = perform(parsed.module, request["gesture"], request["target"], request)
        text = parsed.module.source.text
        select = None
        if changed.select is not None:
            from pgweave.grammar.editing.edits import apply

            select = Units(apply(text, changed.edits)).to_wire(changed.select)
        changes = wire_changes(text, changed.edits)
        return EditResult(version=request["version"], changes=changes, select=select, block=changed.block)

    def fix(self, view: View, request: FixRequest) -> ChangesResult:
        """The edits of one finding's fix."""
        text = self.current(request["version"]).module.source.text
        drawn = self.drawn
        if drawn is None or drawn.version != request["version"]:
            raise Behind("The text has changed meanwhile.", "Try again.")
        fix = drawn.findings[request["finding"]].fix
        return ChangesResult(version=drawn.version, changes=wire_changes(text, fix.edits if fix else ()))

    def format(self, view: View, request: VersionRequest) -> ChangesResult:
        """The edits that lay the text out."""
        from pgweave.designer.differences import difference

        text = self.current(request["version"]).module.source.text
        changes = difference(text, formatted(text, self.name))
        return ChangesResult(version=request["version"], changes=wire_changes(text, changes))

    def save(self, view: View, request: SaveRequest) -> SaveResult:
        """Write the file. A widget without one has nothing to write: its text is the notebook's already."""
        if self.keeper is None and self.folder is not None:
            if not request.get("name"):
                return SaveResult(saved=False, name=self.name, name_needed=True)
            file = new_file(self.folder, str(request["name"]))
            self.keeper, self.name = Keeper(self.document, file, None), file.path.name
        if self.keeper is None:
            return SaveResult(saved=True, name=self.name)
        return self._saved(self.keeper.save())

    def resolve(self, view: View, request: ResolveRequest) -> SaveResult:
        """End a conflict with the file."""
        if self.keeper is None:
            return SaveResult(saved=True, name=self.name)
        return self._saved(self.keeper.resolve("theirs" if request["choice"] == "theirs" else "mine"))

    def _saved(self, result: SaveResult) -> SaveResult:
        self.tell(DiskEvent(type="disk", saved=self.saved, notice=None))
        return result

    # The text as it is now

    def current(self, version: int) -> Parsed:
        """What the newest version says. Behind when `version` is another."""
        with self.document.lock:
            if version != self.document.version:
                raise Behind("The text has changed meanwhile.", "Try again.")
            text = self.document.text
        known = self._parsed
        if known is None or known[0] != version:
            known = self._parsed = version, parse(Source(self.name, text))
        return known[1]

    def change(self, text: str) -> None:
        """Make the text this one, from Python: the views hear of it like of anybody's change."""
        self.document.change(text, KERNEL)

    def _updated(self, version: int, updates: Sequence[Update]) -> None:
        self.tell(UpdatesEvent(type="updates", version=version, updates=list(updates)))
        self._draw_soon()

    # Drawing

    def _draw_soon(self) -> None:
        with self._lock:
            if self._draws:
                return
            self._draws = True
        Thread(target=self._draw_until_newest, name="pgweave drawing", daemon=True).start()

    def _draw_until_newest(self) -> None:
        while True:
            try:
                drawn = self.draw()
                self.tell(DrawingEvent(type="drawing", version=drawn.version, drawing=drawn.drawing))
            except Exception:
                log.exception("cannot draw")
                self.notice("This text cannot be drawn: a mistake of pgweave's.", "Please report it.", "error")
                drawn = None
            with self._lock:
                if drawn is None or drawn.version == self.document.version:
                    self._draws = False
                    return

    def draw(self) -> Drawn:
        """The newest version, drawn and checked. Takes a moment."""
        with self._drawing:
            with self.document.lock:
                version, text = self.document.version, self.document.text
            if self.drawn is not None and self.drawn.version == version:
                return self.drawn
            source = Source(self.name, text)
            parsed = parse(source)
            found = tuple(one for one in findings(source, self.config.target) if self.config.selects(one.code))
            self.drawn = Drawn(version, parsed, found, draw(parsed, found))
            return self.drawn


def _refusal(number: object, message: str, advice: str) -> dict[str, Any]:
    return {"type": "reply", "re": number, "ok": False, "message": message, "advice": advice}


_Answer: TypeAlias = Callable[[Session, View, Any], Mapping[str, Any]]
ANSWERS: dict[str, _Answer] = {
    "hello": Session.hello,
    "push": Session.push,
    "pull": Session.pull,
    "edit": Session.edit,
    "fix": Session.fix,
    "format": Session.format,
    "save": Session.save,
    "resolve": Session.resolve,
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
