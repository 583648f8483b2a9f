"""`diff`: what differs between two programs, in words and as a picture."""

from __future__ import annotations

import json
import sys
from pathlib import Path  # noqa: TC003 - typer reads the annotations
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pgweave.cli.options import FINDINGS, AsJson, Only, say
from pgweave.cli.output import write
from pgweave.cli.programs import SUFFIXES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pgweave.compiler.compare import Change, Compared
    from pgweave.grammar.nodes import Module
    from pgweave.grammar.span import Source, Span

_COLOURS = {"added": "32", "removed": "31", "changed": "33", "moved": "35"}


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command()(diff)


def diff(
    old: Annotated[str, typer.Argument(metavar="OLD", help="A program, or REV:PATH, as it was in a git revision.")],
    new: Annotated[
        str | None, typer.Argument(metavar="[NEW]", help="The other; default: the file of OLD as it is now.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Draw it too: out.svg, .png, .pdf, .dot or .mmd.")
    ] = None,
    only: Only = None,
    dark: Annotated[bool, typer.Option("--dark", help="Draw on a dark background.")] = False,
    exit_code: Annotated[bool, typer.Option("--exit-code", help="Exit with 1 when something differs.")] = False,
    as_json: AsJson = False,
) -> None:
    """Compare two programs, step by step."""
    from pgweave.cli.revisions import split
    from pgweave.compiler.compare import compare, variables

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
    from pgweave.cli.revisions import read
    from pgweave.grammar.parser import parse
    from pgweave.workflow import refuse_errors

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
    from pgweave.compiler.pictures.palette import SIGNS

    sign = SIGNS[change.what]
    text = f"{sign} {change.what} {change.said}"
    if sys.stdout.isatty():
        text = f"\x1b[{_COLOURS[change.what]}m{text}\x1b[0m"
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
    from pgweave.compiler.pictures.draw import DrawError, render
    from pgweave.runtime.errors import PgweaveError

    differing = [one for one in found if one.what] or found
    if len(differing) != 1:
        names = ", ".join(one.name for one in differing)
        raise PgweaveError(f"{len(differing)} workflows would be drawn: {names}.", "Choose one with --only NAME.")
    text = picture(differing[0], form, dark=dark)
    try:
        data = text.encode() if form in {"dot", "mmd"} else render(text, form)
    except DrawError as error:
        raise PgweaveError(f"Cannot draw: {error}", "Or use a text format: -o out.dot, -o out.mmd.") from error
    write(data, output)
    say(f"{output}: {differing[0].name}, {len(data):,} bytes")


def picture(compared: Compared, form: str, *, dark: bool = False) -> str:
    """Both programs in one picture, as DOT or Mermaid text, folded where it would be too large to read."""
    from pgweave.compiler.compare import merged
    from pgweave.compiler.pictures import folding, mermaid
    from pgweave.compiler.pictures import picture as pictures

    both = merged(compared)
    drawn = folding.readable(both.graph)
    differences = folding.differences(drawn, both.differences)
    if form == "mmd":
        return mermaid.mermaid(drawn, differences={node: what for node, what in differences.items() if node in drawn})
    return pictures.dot(drawn, differences=differences, dark=dark, title=compared.name)
