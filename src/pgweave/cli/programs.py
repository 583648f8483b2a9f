"""`compile`, `render`, `explain`: programs as text, no database."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pgweave.cli.options import ConfigFile, ForceExclude, Only


def add_to(app: typer.Typer) -> None:
    """Register these commands."""
    app.command("compile")(compile_)
    app.command()(render)
    app.command()(explain)


def compile_(
    files: Annotated[list[str], typer.Argument(metavar="FILE..", help="Programs, or - for standard input.")],
    emit: Annotated[str, typer.Option(help="tree, rows, sql, graph, dot, mermaid or ascii.")] = "rows",
    style: Annotated[
        str | None,
        typer.Option(
            help="Of --emit sql: rows inserts the node rows, start calls df.start, on pg_durable too."
            " Of --emit rows: json or table."
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Write here. {dir}, {stem} and {name} make a file for each workflow."),
    ] = None,
    stale: Annotated[
        bool, typer.Option("--check", help="Write nothing; exit with 1 if the file at --output is out of date.")
    ] = False,
    only: Only = None,
    config_file: ConfigFile = None,
    force_exclude: ForceExclude = False,
) -> None:
    """Compile workflows to text."""
    from pgweave.cli import compiling  # lazy: start-up

    if force_exclude:
        files = compiling.included(files, config_file)
        if not files:
            return
    compiling.compile_files(files, emit, style, output, only, stale=stale)


def render(
    file: Annotated[str, typer.Argument(metavar="FILE", help="A program, or - for standard input.")],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="out.svg, .png, .pdf, .dot or .mmd; default: FILE.svg.")
    ] = None,
    depth: Annotated[
        int | None,
        typer.Option(
            min=0, help="Levels of blocks to show; what is deeper becomes one box. Default: all that is readable."
        ),
    ] = None,
    dark: Annotated[bool, typer.Option("--dark", help="Draw on a dark background.")] = False,
    only: Only = None,
) -> None:
    """Draw one workflow, also one with errors: the picture may show what is wrong."""
    from pgweave.cli import compiling  # lazy: start-up

    compiling.render_file(file, output, only, depth=depth, dark=dark)


def explain(code: Annotated[str, typer.Argument(metavar="CODE", help="A finding's code, such as PW201.")]) -> None:
    """Show the page of a diagnostic. Works offline."""
    from pgweave.cli.explaining import page  # lazy: start-up

    typer.echo(page(code))
