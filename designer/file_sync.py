"""A document and the file it is kept in: which of them has changed, and how they come together again.

`base` is the text both had last. When another program has changed the file, its changes are merged with the document's line by
line; when both have changed the same lines, nothing is written until a person has chosen.
"""

from __future__ import annotations

from pathlib import PurePath
from typing import TYPE_CHECKING, Literal

from pgweave.designer.differences import merge
from pgweave.designer.disk import File
from pgweave.designer.document import FILE
from pgweave.designer.protocol import DiskEvent, SaveResult
from pgweave.runtime.errors import PgweaveError

if TYPE_CHECKING:
    from pathlib import Path

    from pgweave.designer.document import Document

CHANGED = "The file was changed by another program: the text is now that of the file."
MERGED = "The file was changed by another program: its changes and yours were merged."
CONFLICT = "The file was changed by another program, in lines that you have changed too: saving will ask which to keep."
GONE = "The file is gone: saving creates it again."


class Keeper:
    """Keeps a document in a file. The file is read by whoever makes the document: `base` is what it said."""

    def __init__(self, document: Document, file: File, base: str | None) -> None:
        self.document = document
        self.file = file
        self.base = base  # None: there is no file yet
        self.theirs: str | None = None  # the file's text in a conflict

    @property
    def saved(self) -> bool:
        """Whether the file says what the text says. An empty text needs no file."""
        return self.theirs is None and self.document.text == (self.base or "")

    def look(self) -> DiskEvent | None:
        """Take over what another program has changed in the file; None when that is nothing. PgweaveError: it cannot be read."""
        with self.document.lock:
            if not self.file.changed:
                return None
            theirs = self.file.read()
            if theirs is None:
                gone, self.base, self.theirs = self.base is not None, None, None
                return self._event(GONE) if gone else None
            # Within a conflict the file may come back to the base: then there is something to tell.
            if theirs == self.base and self.theirs is None:
                return None  # touched, or other line ends
            return self._event(self._take(theirs))

    def _take(self, theirs: str) -> str | None:
        mine = self.document.text
        merged = merge(self.base or "", mine, theirs)
        if merged is None:
            self.theirs = theirs
            return CONFLICT
        # Whether the person had changed anything: the notice then speaks of a merge, and not of the file alone.
        unsaved = mine not in (self.base or "", theirs)
        self.base, self.theirs = theirs, None
        changed = self.document.change(merged, FILE)
        return None if not changed else MERGED if unsaved else CHANGED

    def save(self) -> SaveResult:
        """Write the text, merged with what another program has written meanwhile. PgweaveError when it cannot be written."""
        with self.document.lock:
            self.look()
            if self.theirs is not None:
                self._take(self.theirs)  # the document may have changed so that the two no longer conflict
            if self.theirs is not None:
                return SaveResult(saved=False, name=self.file.name, conflict=True, theirs=self.theirs)
            self._write()
            return SaveResult(saved=True, name=self.file.name)

    def resolve(self, choice: Literal["mine", "theirs"]) -> SaveResult:
        """End a conflict: write our text over theirs, or take theirs."""
        with self.document.lock:
            self.look()
            if self.theirs is not None:
                # The base becomes theirs: what is written now is compared with what the file has, not with what
                # both had once.
                self.base, theirs, self.theirs = self.theirs, self.theirs, None
                if choice == "theirs":
                    self.document.change(theirs, FILE)
            self._write()
            return SaveResult(saved=True, name=self.file.name)

    def _write(self) -> None:
        text = self.document.text
        if text != self.base:
            self.file.write(text)
            self.base = text

    def _event(self, notice: str | None) -> DiskEvent:
        return DiskEvent(type="disk", saved=self.saved, notice=notice)


def new_file(folder: Path, name: str) -> File:
    """A file of this name in a folder; `.df` unless the name says otherwise. PgweaveError for one that is there already."""
    path = folder / (name if PurePath(name).suffix else f"{name}.df")
    if PurePath(name).name != name or name.startswith("."):
        raise PgweaveError(f"{name!r} is no name of a file.", "Write a name without a folder, such as nightly.df.")
    if path.exists():
        raise PgweaveError(
            f"{path.name} is there already.", f"Choose another name, or open it: pgweave studio {path.name}"
        )
    file = File(path)
    file.name = path.name
    return file
