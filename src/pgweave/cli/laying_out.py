"""The body of `pgweave fmt`. A file is written whole or not at all, and never with another meaning."""

from __future__ import annotations

import sys
from difflib import unified_diff
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from pgweave.cli.files import sources
from pgweave.cli.options import FINDINGS, TROUBLE, coloured, say
from pgweave.cli.output import replace_file
from pgweave.config import load
from pgweave.grammar.render import render
from pgweave.grammar.writing.formatter import LayoutBug, format_source

if TYPE_CHECKING:
    from pgweave.grammar.span import Source


def lay_out(
    paths: list[str], config_file: Path | None, *, check: bool, diff: bool, stdin_name: str | None, force: bool
) -> None:
    """Lay out every file; exit with 1 when one cannot be read, or when `check` or `diff` finds one laid out otherwise."""
    found = sources(paths, load(config_file), stdin_name=stdin_name, force=force)
    run = _Run(writing=not check and not diff, diff=diff, stdin=stdin_name or "<stdin>" if "-" in paths else None)
    for source in found:
        run.handle(source)
    run.end()


class _Run:
    """One call of the command. stdin: what standard input is called, if it is one of the sources."""

    def __init__(self, *, writing: bool, diff: bool, stdin: str | None) -> None:
        self.writing = writing
        self.diff = diff
        self.stdin = stdin
        self.changed = self.same = self.unread = self.bugs = 0

    def handle(self, source: Source) -> None:
        """Lay one source out."""
        try:
            formatted = format_source(source)
        except LayoutBug as bug:
            say(f"{source.name}: {bug}. The file is unchanged; please report it.")
            self.bugs += 1
            formatted = None
        if formatted is not None and formatted.diagnostics:
            for finding in formatted.diagnostics:
                say(render(finding, source, colour=coloured(sys.stderr)) + "\n")
            self.unread += 1
        text = source.text if formatted is None else formatted.text
        if text != source.text:
            self.changed += 1
        elif formatted is not None and not formatted.diagnostics:
            self.same += 1
        self._write(source, text)

    def _write(self, source: Source, text: str) -> None:
        piped = source.name == self.stdin
        if self.diff:
            typer.echo(_diff(source, text).encode(errors="surrogatepass"), nl=False)
        elif self.writing and piped:
            typer.echo(text.encode(), nl=False)
        elif self.writing and text != source.text:
            replace_file(Path(source.name), text.encode())
        elif text != source.text and not self.writing:
            say(f"{source.name} would be laid out")

    def end(self) -> None:
        """Say what happened, and exit."""
        # In a pipe a summary would only be in the way of what the editor shows.
        if self.stdin is None or self.changed + self.same + self.unread > 1:
            verb = "laid out" if self.writing else "would be laid out"
            counts = ((self.changed, verb), (self.same, "already laid out"), (self.unread, "not readable, left alone"))
            say(", ".join(f"{count} file{'s' if count != 1 else ''} {what}" for count, what in counts if count) + ".")
        if self.bugs:
            raise typer.Exit(TROUBLE)
        if self.unread or (self.changed and not self.writing):
            raise typer.Exit(FINDINGS)


def _diff(source: Source, text: str) -> str:
    lines = unified_diff(
        source.text.splitlines(keepends=True),
        text.splitlines(keepends=True),
        source.name,
        f"{source.name} laid out",
    )
    # As diff and git write it.
    return "".join(line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n" for line in lines)
