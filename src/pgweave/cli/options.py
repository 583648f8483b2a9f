"""What the commands share: options, the database they talk to, and how they speak."""

from __future__ import annotations

import sys
from pathlib import Path
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
Only = Annotated[
    str | None, typer.Option("--only", metavar="NAME", help="The workflow of this name, in a file with several.")
]
ConfigFile = Annotated[
    Path | None, typer.Option("--config", help="Read [tool.pgweave] here instead of in the nearest pyproject.toml.")
]
StdinFilename = Annotated[str | None, typer.Option(metavar="NAME", help="What standard input, -, is called.")]
ForceExclude = Annotated[
    bool, typer.Option("--force-exclude", help="Leave out what is excluded even if it is named, for pre-commit.")
]

FINDINGS, TROUBLE = 1, 2  # exit codes


def say(text: str) -> None:
    """A line for people that is not the result: it goes to standard error."""
    typer.echo(text, err=True)


def choice(option: str, value: str, choices: tuple[str, ...]) -> str:
    """Refuse a value that is not one of `choices`, as a mistake in the command line."""
    if value not in choices:
        known = f"is not one of {', '.join(choices)}" if choices else "means nothing here"
        raise typer.BadParameter(f"{value!r} {known}.", param_hint=option)
    return value


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
