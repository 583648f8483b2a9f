"""A program's file: read it, notice when another program has changed it, write it whole or not at all.

The designer works on text with line feeds. A file's byte order mark and its line ends, mixed ones line by line, are put
back when it is written, so that unchanged lines stay as they were, byte for byte.
"""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from pgweave.designer.differences import opcodes
from pgweave.runtime.errors import PgweaveError
from pgweave.texts import decode

_BOM = "\ufeff"
_TICK_NS = 100_000_000  # two writes within one tick of the file system's clock may leave the same time


@dataclass(frozen=True, slots=True)
class Layout:
    """What a file's text has beyond the document's. ends: for each of its lines what ended it, where those differ."""

    bom: bool = False
    newline: str = "\n"
    lines: tuple[str, ...] = ()
    ends: tuple[str, ...] = ()

    @classmethod
    def of(cls, text: str) -> tuple[str, Layout]:
        """Take a file's text apart: with line feeds only, and what that leaves out."""
        bom = text.startswith(_BOM)
        text = text.removeprefix(_BOM)
        plain = text.replace("\r\n", "\n")
        # A \r\n counts in both.
        windows, all_ = text.count("\r\n"), text.count("\n")
        if windows in (0, all_):
            return plain, cls(bom, "\r\n" if windows else "\n")
        written = text.split("\n")
        ends = tuple("\r\n" if line.endswith("\r") else "\n" for line in written[:-1])
        common = "\r\n" if windows * 2 > all_ else "\n"
        return plain, cls(bom, common, tuple(line.removesuffix("\r") for line in written[:-1]), ends)

    def restored(self, text: str) -> str:
        """The text as it goes into the file."""
        if self.ends:
            lines = text.split("\n")
            ends = [self.newline] * (len(lines) - 1)
            for _, i, j, k, m in opcodes(self.lines, lines[:-1]):
                kept = min(j - i, m - k)  # a line that was changed keeps its end
                ends[k : k + kept] = self.ends[i : i + kept]
            text = "".join(line + end for line, end in zip(lines, [*ends, ""], strict=True))
        elif self.newline != "\n":
            text = text.replace("\n", self.newline)
        return _BOM + text if self.bom else text


class File:
    """One file. Symbolic links are followed: what they lead to is read and written."""

    def __init__(self, path: str | Path) -> None:
        self.name = str(path)
        self.path = Path(os.path.realpath(path))
        self.layout = Layout()
        self._seen: tuple[int, ...] | None = None
        self._unsure = False  # it was written just before it was looked at

    def read(self) -> str | None:
        """The text as it is now; None when there is no file. PgweaveError when it cannot be read."""
        try:
            seen = self._look()
            if seen is None:
                self._seen = None
                return None
            data = self.path.read_bytes()
        except OSError as error:
            raise PgweaveError(
                f"Cannot read {self.name}: {error.strerror}.", "Check the path and its rights."
            ) from error
        text, self.layout = Layout.of(decode(self.name, data).text)
        self._note(seen)
        return text

    def _note(self, seen: tuple[int, ...] | None) -> None:
        self._seen = seen
        self._unsure = seen is not None and time.time_ns() - seen[0] < _TICK_NS

    @property
    def changed(self) -> bool:
        """Whether the file may be another than when it was last read or written. Costs one system call."""
        try:
            return self._look() != self._seen or self._unsure
        except OSError:
            return True

    def write(self, text: str) -> None:
        """Write the text: all of it or, if that fails, none. Rights and owner stay. PgweaveError when it cannot be."""
        data = self.layout.restored(text).encode()
        try:
            self._replace(data)
        except OSError as error:
            raise PgweaveError(
                f"Cannot write {self.name}: {error.strerror}.", "Check the path and its rights."
            ) from error
        self._note(self._look())
        _, self.layout = Layout.of(data.decode())

    def _replace(self, data: bytes) -> None:
        old = self.path.stat() if self.path.exists() else None
        # A hard link has other names, which a new file under this name would leave behind.
        if old is not None and (old.st_nlink > 1 or not os.access(self.path.parent, os.W_OK)):
            self.path.write_bytes(data)  # another name would keep the old file, or no new file can be made here
            return
        descriptor, name = tempfile.mkstemp(prefix=f".{self.path.name}.", dir=self.path.parent)
        new = Path(name)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            if old is None:
                new.chmod(0o666 & ~_umask())
            else:
                with suppress(OSError):
                    os.chown(new, old.st_uid, old.st_gid)
                shutil.copymode(self.path, new)
            # Within one folder, so within one file system: the name changes at once or not at all.
            new.replace(self.path)
        except BaseException:
            new.unlink(missing_ok=True)
            raise

    def _look(self) -> tuple[int, ...] | None:
        try:
            found = self.path.stat()
        except FileNotFoundError:
            return None
        if not stat.S_ISREG(found.st_mode):
            raise OSError(0, "it is no file")
        return found.st_mtime_ns, found.st_size, found.st_ino


def _umask() -> int:
    """The process' mask for new files; there is no way to ask but to set it."""
    # The strictest mask meanwhile: a file that another thread makes now is too private and not too open.
    mask = os.umask(0o077)
    os.umask(mask)
    return mask
