"""What the commands share: options, the database they talk to, and how they speak."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from pgweave.runtime.errors import PgweaveError

Dsn = Annotated[
    str | None,
    typer.Option(
        "--dsn", envvar="PGWEAVE_DSN", help="Database to work with; without it, the embedded server.", show_envvar=True
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for scripts.")]

FINDINGS, TROUBLE = 1, 2  # exit codes


def say(text: str) -> None:
    """A line for people that is not the result: it goes to standard error."""
    typer.echo(text, err=True)


def complain(error: PgweaveError) -> int:
    """Print an error with what to do about it; return the exit code."""
    from pgweave.workflow import ProgramError, RunFailed

    if isinstance(error, ProgramError):
        report(error)
        return FINDINGS
    say(f"pgweave: {error}")
    if error.advice:
        say(f"  {error.advice}")
    return FINDINGS if isinstance(error, RunFailed) else TROUBLE


def report(error: ProgramError) -> None:  # type: ignore[name-defined]  # noqa: F821 - imported lazily
    """Print the findings of a program that cannot be used."""
    from pgweave.grammar.render import render

    for finding in error.findings:
        say(render(finding, error.source, colour=sys.stderr.isatty()))
        say("")
    count = len(error.findings)
    say(f"{count} error{'s' if count != 1 else ''}; nothing was done.")
