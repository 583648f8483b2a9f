"""One designer: a document, the views that show it, and its drawing. `answers` handles the requests of the views.

Calls may come from any thread. Drawings take long, so they are made on a thread of their own, only ever of the newest
version, and sent to every view.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from threading import Lock, Thread
from typing import TYPE_CHECKING, Literal

from pgweave.config import Config
from pgweave.designer.document import KERNEL, Behind, Document
from pgweave.designer.drawing import draw
from pgweave.designer.protocol import DiskEvent, DrawingEvent, NoticeEvent, Update, UpdatesEvent
from pgweave.grammar.parser import parse
from pgweave.grammar.span import Source
from pgweave.runtime.errors import PgweaveError
from pgweave.workflow import findings

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from pgweave.designer.file_sync import Keeper
    from pgweave.designer.operator import Operator
    from pgweave.designer.protocol import Drawing
    from pgweave.designer.views import Message, View
    from pgweave.grammar.diagnostics import Diagnostic
    from pgweave.grammar.parser import Parsed

log = logging.getLogger("pgweave.designer")


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
        self._trouble: str | None = None  # with the file, as the views were last told
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
        """Take over what others have changed in the file. Call it now and then."""
        if self.keeper is None:
            return
        trouble = None
        try:
            event = self.keeper.look()
        except PgweaveError as error:
            trouble = f"{error} {error.advice}".strip()
            # Told once, not at every look: it is called twice a second.
            event = None if trouble == self._trouble else DiskEvent(type="disk", saved=False, notice=trouble)
        self._trouble = trouble
        if event is not None:
            self.tell(event)

    @property
    def saved(self) -> bool:
        """Whether closing would lose nothing."""
        if self.keeper is None:
            return self.folder is None or not self.document.text
        return self.keeper.saved

    # The text as it is now

    def current(self, version: int) -> Parsed:
        """What the newest version says. Behind when `version` is another."""
        with self.document.lock:
            if version != self.document.version:
                raise Behind("The text has changed meanwhile.", "Try again.")
            text = self.document.text
        # Read into a local name first: another thread may replace the pair between two reads.
        known = self._parsed
        if known is None or known[0] != version:
            known = self._parsed = version, parse(Source(self.name, text))
        return known[1]

    def change(self, text: str) -> None:
        """Replace the text, from Python: the views get it like any other change."""
        self.document.change(text, KERNEL)

    def _updated(self, version: int, updates: Sequence[Update]) -> None:
        self.tell(UpdatesEvent(type="updates", version=version, updates=list(updates)))
        self.draw_soon()

    # Drawing

    def draw_soon(self) -> None:
        """Draw the newest version on a thread of its own, and send it to every view."""
        with self._lock:
            # One thread at most. It looks at the version again when it has finished, so whatever came meanwhile
            # is drawn too.
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
                self.notice("This text cannot be drawn, because of a bug in pgweave.", "Please report it.", "error")
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
            # Within the lock: two threads that ask for one version draw it once.
            if self.drawn is not None and self.drawn.version == version:
                return self.drawn
            source = Source(self.name, text)
            parsed = parse(source)
            found = tuple(one for one in findings(source, self.config.target) if self.config.selects(one.code))
            self.drawn = Drawn(version, parsed, found, draw(parsed, found))
            return self.drawn
