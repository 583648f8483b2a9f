"""`pgweave`: the commands, and the one place where errors become text and exit codes.

0 clean or completed, 1 findings or a failed workflow, 2 usage, files, connections. The modules of MODULES declare the
commands; each imports the module with its body when it is called, so that `pgweave --help` starts about as fast as Python.
"""

from __future__ import annotations

import io
import os
import sys
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn, cast

import typer

from pgweave.cli.options import TROUBLE, say
from pgweave.runtime.errors import PgweaveError
from pgweave.version import __version__

if TYPE_CHECKING:
    from collections.abc import Sequence

    import psycopg

MODULES: dict[str, tuple[str, ...]] = {
    "run": ("run",),
    "check": ("check",),
    "fmt": ("fmt",),
    "programs": ("compile", "render", "explain"),
    "diff": ("diff",),
    "summary": ("summary",),
    "lsp": ("lsp",),
    "studio": ("studio",),
    "database": ("db", "worker"),
    "operate": ("ps", "show", "result", "signal", "cancel", "wait"),
}
"""The commands of each module of pgweave.cli. A module that is missing here has no commands."""


def build(arguments: Sequence[str] = ()) -> typer.Typer:
    """The application; with the words of a command line, no more of it than the command that they begin with needs.

    To read the declarations of all commands takes about as long as to check a small program.
    """
    app = typer.Typer(
        name="pgweave",
        help="Design durable SQL workflows as text, check and draw them, and run them on plain PostgreSQL.",
        no_args_is_help=True,
        # Not with a command, which then starts faster; a shell that completes asks without one.
        add_completion=not arguments or arguments[0].startswith("-"),
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
    )
    app.callback()(pgweave)
    needed = [module for module, commands in MODULES.items() if arguments and arguments[0] in commands]
    for module in needed or MODULES:
        import_module(f"pgweave.cli.{module}").add_to(app)  # lazy: start-up
    return app


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"pgweave {__version__}")
        raise typer.Exit


def pgweave(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Design durable SQL workflows as text, check and draw them, and run them on plain PostgreSQL."""


def main() -> NoReturn:
    """Run the command line and exit. Errors from outside of pgweave are printed as sentences, without a traceback."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # closed by the calling process
            setattr(sys, name, Path(os.devnull).open("w", encoding="utf-8"))  # noqa: SIM115 - for good
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a terminal that is not UTF-8 gets escapes, not a crash
    try:
        build(sys.argv[1:])(prog_name="pgweave")
    except PgweaveError as error:
        from pgweave.cli.complaints import complain  # lazy: start-up, only errors need the catalogue of findings

        sys.exit(complain(error))
    except OSError as error:  # files and connections explain themselves where they are opened; this is our output
        say(f"pgweave: Cannot write the output: {error.strerror or error}.")
        with suppress(OSError, ValueError):  # what is still buffered would make Python complain once more at its end
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(TROUBLE)
    except Exception as error:
        driver = sys.modules.get("psycopg")  # not loaded: then it was not the database
        if driver is None or not isinstance(error, driver.Error):
            raise
        diag = cast("psycopg.Error", error).diag
        say(f"pgweave: PostgreSQL refused: {diag.message_primary or str(error).strip()}")
        say(f"  {diag.message_hint or 'Check what the role of --dsn may do, and that the server still runs.'}")
        sys.exit(TROUBLE)
    sys.exit(0)
