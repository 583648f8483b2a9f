"""The golden programs of the checks: files of sections, each a program that triggers a code or that is clean."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pgweave.compiler import passes
from pgweave.grammar.parser import parse
from pgweave.grammar.span import Source

if TYPE_CHECKING:
    from pgweave.compiler.subject import Target
    from pgweave.grammar.diagnostics import Diagnostic

GOLDEN = Path(__file__).parents[1] / "golden" / "checks"
FILES = sorted(GOLDEN.glob("*.df"))
_HEADING = re.compile(r"^---- (triggers|clean)(?: \((pg_durable)\))?: (.*)\n", re.MULTILINE)


@dataclass(frozen=True)
class Section:
    """One program of a file. kind: triggers or clean."""

    kind: str
    target: Target
    why: str
    source: Source

    @property
    def findings(self) -> list[Diagnostic]:
        """What parser and checks say about it."""
        return find(self.source, self.target)


def find(source: Source, target: Target = "pgweave") -> list[Diagnostic]:
    """What parser and checks say about a text."""
    parsed = parse(source)
    return [*parsed.diagnostics, *passes.check(parsed.module, target=target)]


def sections(file: Path) -> list[Section]:
    """The programs of a file, in order."""
    parts = _HEADING.split(file.read_text(encoding="utf-8"))
    assert parts[0] == "", f"{file.name} begins with no heading"
    fours = zip(parts[1::4], parts[2::4], parts[3::4], parts[4::4], strict=True)
    return [
        Section(kind, "pg_durable" if target else "pgweave", why, Source(file.name, text))
        for kind, target, why, text in fours
    ]
