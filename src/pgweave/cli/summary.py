"""`summary`: Markdown for a pull request: what changed in which workflow, drawn, with its findings.

Made for `$GITHUB_STEP_SUMMARY`; every forge that draws Mermaid shows it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pgweave.cli.options import ConfigFile


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command()(summary)


def summary(
    paths: Annotated[list[str], typer.Argument(metavar="PATH..", help="Files or folders (all *.df below).")],
    base: Annotated[
        str | None,
        typer.Option(metavar="REV", help="Show only what changed since this git revision; without it, every workflow."),
    ] = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Write here.")] = None,
    config_file: ConfigFile = None,
) -> None:
    """Write Markdown about workflows and what changed in them."""
    from pgweave.cli import pull_request  # lazy: start-up

    pull_request.summarise(paths, base, output, config_file)
