"""Texts of programs: read from files, decoded, and refused with findings when they cannot be used."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from pgweave.grammar.diagnostics import Severity
from pgweave.grammar.render import render
from pgweave.grammar.span import Source
from pgweave.runtime.errors import PgweaveError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pgweave.grammar.diagnostics import Diagnostic


class ProgramError(PgweaveError):
    """A program that cannot be used as it stands. findings: why, with places in `source`."""

    def __init__(self, findings: Iterable[Diagnostic], source: Source) -> None:
        self.findings = tuple(findings)
        self.source = source
        super().__init__("\n\n".join(render(finding, source) for finding in self.findings))

    def _render_traceback_(self) -> list[str]:
        """What IPython shows: the place in the program, without a traceback through pgweave."""
        coloured = [render(finding, self.source, colour=True) for finding in self.findings]
        return bold_only("\n\n".join(coloured)).splitlines()


def refuse_errors(findings: Iterable[Diagnostic], source: Source) -> None:
    """Raise ProgramError if any of the findings is an error."""
    errors = [finding for finding in findings if finding.severity is Severity.ERROR]
    if errors:
        raise ProgramError(errors, source)


def read(path: str | Path) -> Source:
    """Read a file as UTF-8. PgweaveError, in words for people, when that does not work."""
    try:
        return decode(str(path), Path(path).read_bytes())
    except OSError as error:
        raise PgweaveError(f"Cannot read {path}: {error.strerror}.", "Check the path.") from error


def decode(name: str, data: bytes) -> Source:
    """A text from its bytes. PgweaveError when they are not UTF-8."""
    try:
        return Source(name, data.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise PgweaveError(
            f"{name} is not UTF-8: byte {error.start} is 0x{data[error.start]:02x}.", "Save the text as UTF-8."
        ) from error


def bold_only(text: str) -> str:
    """Text with its colours replaced by bold: notebooks show errors on red, where red letters cannot be read."""
    return re.sub(r"\x1b\[\d+;1m", "\x1b[1m", text)
