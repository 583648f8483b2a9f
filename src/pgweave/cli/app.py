"""`pgweave`: the commands, and the one place where errors become text and exit codes.

0 clean or completed, 1 findings or a failed workflow, 2 usage, files, connections. Heavy imports stay inside the
commands, so that `pgweave --help` starts about as fast as Python does.
"""

from __future__ import annotations

import io
import os
import sys
from contextlib import suppress
from typing import Annotated, NoReturn

import typer

from pgweave import __version__
from pgweave.cli import check, database, diff, fmt, lsp, operate, programs, run, summary
from pgweave.cli.options import TROUBLE, complain, say

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


for module in (run, check, fmt, programs, diff, summary, lsp, database, operate):
    module.add_to(app)


def main() -> NoReturn:
    """Run the command line and exit. What goes wrong outside of pgweave is said for people, without a traceback."""
    from pgweave.runtime.errors import PgweaveError

    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a terminal that is not UTF-8 gets escapes, not a crash
    try:
        app()
    except PgweaveError as error:
        sys.exit(complain(error))
    except OSError as error:  # files and connections explain themselves where they are opened; this is our output
        say(f"pgweave: Cannot write the output: {error.strerror or error}.")
        with suppress(OSError, ValueError):  # what is still buffered would make Python complain once more at its end
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(TROUBLE)
    except Exception as error:
        psycopg = sys.modules.get("psycopg")  # not loaded: then it was not the database
        if psycopg is None or not isinstance(error, psycopg.Error):
            raise
        say(f"pgweave: PostgreSQL refused: {error.diag.message_primary or str(error).strip()}")
        say(f"  {error.diag.message_hint or 'Check what the role of --dsn may do, and that the server still runs.'}")
        sys.exit(TROUBLE)
    sys.exit(0)
