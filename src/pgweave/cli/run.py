"""`run`: from a file to a result, on the embedded PostgreSQL or on a database of one's own."""

from __future__ import annotations

from typing import Annotated

import typer

from pgweave.cli.options import AsJson, Dsn


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command()(run)


def run(
    file: Annotated[str, typer.Argument(metavar="FILE", help="A program.")],
    dsn: Dsn = None,
    label: Annotated[str | None, typer.Option(help="Start it under this label.")] = None,
    only: Annotated[str | None, typer.Option(help="The workflow of this name, in a file with several.")] = None,
    var: Annotated[list[str] | None, typer.Option(metavar="K=V", help="Set a variable for {K}. Repeatable.")] = None,
    no_setup: Annotated[bool, typer.Option("--no-setup", help="Do not run FILE's companion NAME.setup.sql.")] = False,
    no_check: Annotated[
        bool, typer.Option("--no-check", help="Start it without having the database prepare every step first.")
    ] = False,
    no_wait: Annotated[
        bool, typer.Option("--no-wait", help="Start it, print its id and return; a worker executes it.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Check a program, start it, run it to its end and print the result."""
    from pgweave.cli import running  # lazy: start-up

    running.run(
        file, dsn, label, only, var or [], setup=not no_setup, ask=not no_check, wait=not no_wait, as_json=as_json
    )
