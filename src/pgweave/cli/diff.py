"""`diff`: what differs between two programs, in words and as a picture."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pgweave.cli.options import AsJson, Only


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command()(diff)


def diff(
    old: Annotated[str, typer.Argument(metavar="OLD", help="A program, or REV:PATH, as it was in a git revision.")],
    new: Annotated[
        str | None, typer.Argument(metavar="[NEW]", help="The other; default: the file of OLD as it is now.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Draw both in one picture: out.svg, .png, .pdf, .dot or .mmd.")
    ] = None,
    only: Only = None,
    dark: Annotated[bool, typer.Option("--dark", help="Draw on a dark background.")] = False,
    exit_code: Annotated[bool, typer.Option("--exit-code", help="Exit with 1 when something differs.")] = False,
    as_json: AsJson = False,
) -> None:
    """Compare two programs, step by step."""
    from pgweave.cli import comparing  # lazy: start-up

    comparing.diff(old, new, output, only, dark=dark, exit_code=exit_code, as_json=as_json)
