"""`pgweave`: the commands, and the one place where errors become text and exit codes.

0 clean or completed, 1 findings or a failed workflow, 2 usage, files, connections. Heavy imports stay inside the
commands, so that `pgweave --help` starts about as fast as Python does.
"""

from __future__ import annotations

import sys
from typing import Annotated, NoReturn

import typer

from pgweave import __version__
from pgweave.cli import database, operate, programs, run
from pgweave.cli.options import complain

app = typer.Typer(
    name="pgweave",
    help="Design durable SQL workflows as text, check and draw them, and run them on plain PostgreSQL.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"pgweave {__version__}")
        raise typer.Exit


@app.callback()
def pgweave(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Design durable SQL workflows as text, check and draw them, and run them on plain PostgreSQL."""


for module in (run, programs, database, operate):
    module.add_to(app)


def main() -> NoReturn:
    """Run the command line and exit. What we raise on purpose is printed for people, without a traceback."""
    from pgweave.runtime.errors import PgweaveError

    try:
        app()
    except PgweaveError as error:
        sys.exit(complain(error))
    except BrokenPipeError:
        # `pgweave show .. | head`: the reader has had enough. Python would complain once more while closing stdout.
        sys.stderr.close()
        sys.exit(0)
    sys.exit(0)
