"""The body of `pgweave diff`: compare two programs, print what differs, draw it."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

import typer

from pgweave.cli.compiling import SUFFIXES
from pgweave.cli.options import FINDINGS, coloured, say
from pgweave.cli.output import write
from pgweave.compiler.compare import compare, variables
from pgweave.compiler.pictures import comparison
from pgweave.compiler.pictures.draw import DrawError, render
from pgweave.compiler.pictures.palette import SIGNS
from pgweave.grammar.parser import parse
from pgweave.revisions import read, split
from pgweave.runtime.errors import PgweaveError
from pgweave.texts import refuse_errors

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pgweave.compiler.compare import Change, Compared
    from pgweave.grammar.nodes import Module
    from pgweave.grammar.span import Source, Span

_COLOURS = {"added": "32", "removed": "31", "changed": "33", "moved": "35"}


def diff(
    old: str, new: str | None, output: Path | None, only: str | None, *, dark: bool, exit_code: bool, as_json: bool
) -> None:
    """Compare two programs. new: None for the file of `old` as it is now."""
    form = None if output is None else SUFFIXES.get(output.suffix.lower())
    if output is not None and form is None:
        raise typer.BadParameter(f"{output} names no format; use {', '.join(SUFFIXES)}.", param_hint="--output")
    revision, path = split(old)
    if new is None and revision is None:
        raise typer.BadParameter("say what to compare with, or write REV:PATH for OLD.", param_hint="NEW")
    before, after = _module(old), _module(path if new is None else new)
    found = [one for one in compare(before, after) if only in {None, one.name}]
    declared = variables(before, after)
    if as_json:
        typer.echo(json.dumps(_as_json(found, declared, before.source, after.source), indent=2, ensure_ascii=False))
    else:
        _say(found, declared, before.source, after.source)
    if output is not None and form is not None:
        _draw(found, output, form, dark=dark)
    if exit_code and (declared or any(one.what for one in found)):
        raise typer.Exit(FINDINGS)


def _module(argument: str) -> Module:
    parsed = parse(read(argument))
    refuse_errors(parsed.diagnostics, parsed.module.source)
    return parsed.module


def _say(found: list[Compared], declared: tuple[Change, ...], old: Source, new: Source) -> None:
    for change in declared:
        typer.echo(_line(change, old, new))
    differing = [one for one in found if one.what]
    for one in differing:
        typer.echo(f"{one.name}: {one.what}")
        for change in one.changes:
            typer.echo("  " + _line(change, old, new))
    if not differing and not declared:
        say("No differences.")


def _line(change: Change, old: Source, new: Source) -> str:
    sign = SIGNS[change.what]
    text = f"{sign} {change.what} {change.said}"
    if coloured(sys.stdout):
        text = f"\x1b[{_COLOURS[change.what]}m{text}\x1b[0m"
    # A removed step has its place in the old text only.
    source, span = (new, change.new) if change.new else (old, change.old)
    if span is None:
        return text
    where = source.location(span.start)
    return f"{text} ({source.name}:{where.line}:{where.column})"


def _as_json(found: list[Compared], declared: tuple[Change, ...], old: Source, new: Source) -> dict[str, Any]:
    def place(source: Source, span: Span | None) -> dict[str, Any] | None:
        if span is None:
            return None
        start, end = source.location(span.start), source.location(span.end)
        return {
            "file": source.name,
            "start": {"line": start.line, "column": start.column},
            "end": {"line": end.line, "column": end.column},
        }

    def changes(them: tuple[Change, ...]) -> Iterator[dict[str, Any]]:
        for change in them:
            places = {"old": place(old, change.old), "new": place(new, change.new)}
            yield {"what": change.what, "said": change.said, **places}

    workflows = [{"name": one.name, "what": one.what, "changes": list(changes(one.changes))} for one in found]
    return {"workflows": workflows, "variables": list(changes(declared))}


def _draw(found: list[Compared], output: Path, form: str, *, dark: bool) -> None:
    differing = [one for one in found if one.what] or found
    if len(differing) != 1:
        names = ", ".join(one.name for one in differing)
        raise PgweaveError(f"{len(differing)} workflows would be drawn: {names}.", "Choose one with --only NAME.")
    text = comparison.text(differing[0], form, dark=dark)
    try:
        data = text.encode() if form in {"dot", "mmd"} else render(text, form)
    except DrawError as error:
        raise PgweaveError(f"Cannot draw: {error}", "Or use a text format: -o out.dot, -o out.mmd.") from error
    write(data, output)
    say(f"{output}: {differing[0].name}, {len(data):,} bytes")
