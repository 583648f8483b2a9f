"""`fmt`: programs in canonical layout."""

from __future__ import annotations

from typing import Annotated

import typer

from pgweave.cli.options import ConfigFile, ForceExclude, StdinFilename


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command()(fmt)


def fmt(
    paths: Annotated[
        list[str], typer.Argument(metavar="PATH..", help="Files, folders (all *.df below), or - for standard input.")
    ],
    check: Annotated[
        bool, typer.Option("--check", help="Write nothing; exit with 1 if a file is not formatted.")
    ] = False,
    diff: Annotated[
        bool, typer.Option("--diff", help="Print what would change and write nothing; exit code as with --check.")
    ] = False,
    stdin_filename: StdinFilename = None,
    config_file: ConfigFile = None,
    force_exclude: ForceExclude = False,
) -> None:
    """Format programs; comments, SQL and meaning stay the same. Exits with 1 when a program cannot be read."""
    from pgweave.cli import laying_out  # lazy: start-up

    laying_out.lay_out(paths, config_file, check=check, diff=diff, stdin_name=stdin_filename, force=force_exclude)
