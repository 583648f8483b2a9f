"""`check`: findings for people, scripts and CI, and fixes. No database unless one is named."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pgweave.cli.options import ConfigFile, ForceExclude, StdinFilename

if TYPE_CHECKING:
    from pgweave.runtime.errors import PgweaveError

Codes = Annotated[list[str] | None, typer.Option(metavar="PW..", help="Codes or beginnings of codes, with commas.")]


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command()(check)


def check(
    paths: Annotated[
        list[str], typer.Argument(metavar="PATH..", help="Files, folders (all *.df below), or - for standard input.")
    ],
    output_format: Annotated[
        str | None, typer.Option(help="text, json, github, sarif or junit.", show_default="text")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Write the report here instead of to standard output.")
    ] = None,
    strict: Annotated[bool, typer.Option("--strict", help="Warnings fail the check too.")] = False,
    select: Codes = None,
    ignore: Codes = None,
    target: Annotated[
        str | None,
        typer.Option(help="pgweave, or pg_durable: also report what would differ there.", show_default="pgweave"),
    ] = None,
    fix: Annotated[
        bool, typer.Option("--fix", help="Fix what can be fixed without changing what a program means.")
    ] = False,
    unsafe_fixes: Annotated[
        bool, typer.Option("--unsafe-fixes", help="With --fix: also apply fixes that may change what a program means.")
    ] = False,
    dsn: Annotated[
        str | None,
        typer.Option("--dsn", help="Have this database prepare every step; only DDL runs, and is rolled back."),
    ] = None,
    embedded: Annotated[bool, typer.Option("--embedded", help="The same, with the embedded server.")] = False,
    stdin_filename: StdinFilename = None,
    config_file: ConfigFile = None,
    force_exclude: ForceExclude = False,
) -> None:
    """Check programs. Exits with 1 when there are errors."""
    from pgweave.cli import checking  # lazy: start-up

    wanted = checking.configured(config_file, output_format, target, select, ignore, strict=strict)
    fixing = checking.Fixing(wanted=fix, unsafe=unsafe_fixes)
    unreadable: list[PgweaveError] = []
    files = checking.sources(paths, wanted, stdin_name=stdin_filename, force=force_exclude, unreadable=unreadable)
    piped = (stdin_filename or "<stdin>") if "-" in paths else None
    checking.check(files, wanted, fixing, output, unreadable, piped=piped, dsn=dsn, embedded=embedded)
