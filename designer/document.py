"""The text that all views edit: its versions, and every change between them, in the shape of @codemirror/collab.

Here is the authority. A view sends what it has changed since a version; if that is not the newest, it is refused, pulls
what it is missing, rebases its own changes and sends them again, so that none is lost. Changes made in Python (by the
notebook, or by the file on disk) become updates like all others. Safe to use from several threads.

The text has line feeds only; disk.py knows what a file had instead.
"""

from __future__ import annotations

import secrets
from threading import RLock
from typing import TYPE_CHECKING

from pgweave.designer.differences import difference
from pgweave.designer.protocol import Change, Update
from pgweave.designer.units import Units, width
from pgweave.runtime.errors import PgweaveError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from pgweave.designer.protocol import Sections
    from pgweave.grammar.diagnostics import Edit

KERNEL, FILE = "kernel", "file"  # who made an update that came from no view

_UTF16 = "utf-16-le"  # two bytes a unit


class Behind(PgweaveError):
    """A change to a version that is no longer the newest."""


class BadUpdate(PgweaveError):
    """A change that does not fit the text: a bug of the sender."""


class Document:
    """One text. id: random, so that a view notices that it talks to another document. listeners: told of every update."""

    def __init__(self, text: str) -> None:
        self.id = secrets.token_hex(8)
        self.lock = RLock()
        self.text = text.replace("\r\n", "\n")
        self.updates: list[Update] = []
        self.listeners: list[Callable[[int, Sequence[Update]], None]] = []

    @property
    def version(self) -> int:
        """How many updates there have been."""
        return len(self.updates)

    def push(self, version: int, updates: Sequence[Update]) -> int:
        """Take changes that were made to `version`. Behind, or BadUpdate, when nothing was taken; else the new version."""
        with self.lock:
            # All or nothing: the view pulls what it misses, moves its own changes behind that and sends them
            # again (operational transformation, as @codemirror/collab does it).
            if version != self.version:
                raise Behind("The text has changed meanwhile.", "Pull the missing changes first.")
            text = self.text
            for update in updates:
                text = applied(text, update["changes"])
            self.text = text
            self._tell([Update(clientID=str(update["clientID"]), changes=update["changes"]) for update in updates])
            return self.version

    def since(self, version: int) -> list[Update]:
        """Every update after `version`. BadUpdate for a version that never was."""
        with self.lock:
            if not 0 <= version <= self.version:
                raise BadUpdate(f"There is no version {version}.", "Reload the page.")
            return self.updates[version:]

    def change(self, text: str, who: str) -> bool:
        """Make the text this one, by the smallest changes that do. False when it is that already."""
        text = text.replace("\r\n", "\n")
        with self.lock:
            edits = difference(self.text, text)
            if edits:
                changes = sections(self.text, edits)
                self.text = text
                self._tell([Update(clientID=who, changes=changes)])
            return bool(edits)

    def _tell(self, updates: list[Update]) -> None:
        self.updates += updates
        for listener in self.listeners:
            listener(self.version, updates)


def applied(text: str, changes: Sections) -> str:
    """The text after a ChangeSet in its JSON form. BadUpdate when it is none, or one of another text."""
    try:
        # CodeMirror counts UTF-16 units: an emoji is two of them. In bytes of UTF-16 every unit has two, so
        # slices are exact.
        data = text.encode(_UTF16, "surrogatepass")
        out, at = [], 0
        for section in changes:
            #     [3, [2, "ab"], [0, "x", "y"]]    keep 3, replace 2 by `ab`, insert `x` <line end> `y`
            length, inserted = (section, None) if isinstance(section, int) else (section[0], section[1:])
            # JSON true is an int to Python.
            if not isinstance(length, int) or isinstance(length, bool) or length < 0:
                raise BadUpdate("A change has a length that is none.")
            end = at + 2 * length
            out.append(data[at:end] if inserted is None else "\n".join(inserted).encode(_UTF16))
            at = end
        # A change of another version nearly always has another length, so this catches a mix-up.
        if at != len(data):
            raise BadUpdate("A change is meant for a text of another length.")
        return b"".join(out).decode(_UTF16)
    except (TypeError, IndexError, UnicodeError) as error:
        raise BadUpdate("A change cannot be read.") from error


def sections(text: str, edits: Iterable[Edit]) -> Sections:
    """Edits of a text as a ChangeSet in its JSON form."""
    found: Sections = []
    at = 0
    for edit in sorted(edits, key=lambda edit: edit.span):
        if edit.span.start > at:
            found.append(width(text[at : edit.span.start]))
        lines = edit.text.split("\n") if edit.text else []
        found.append([width(edit.span.of(text)), *lines])
        at = edit.span.end
    if at < len(text):
        found.append(width(text[at:]))
    return found


def wire_changes(text: str, edits: Iterable[Edit]) -> list[Change]:
    """Edits of a text as CodeMirror's change specs."""
    units = Units(text)
    return [
        {"from": units.to_wire(edit.span.start), "to": units.to_wire(edit.span.end), "insert": edit.text}
        for edit in sorted(edits, key=lambda edit: edit.span)
    ]
