"""What the commands share: options, the database they talk to, and how they speak."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, TextIO, TypeVar

import typer

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
StdinFilename = Annotated[
    str | None, typer.Option(metavar="NAME", help="File name that findings show for standard input.")
]
ForceExclude = Annotated[
    bool, typer.Option("--force-exclude", help="Leave out excluded files even if they are named, for pre-commit.")
]

FINDINGS, TROUBLE = 1, 2  # exit codes


def say(text: str) -> None:
    """Print a line for people, which is not the result, to standard error."""
    typer.echo(text, err=True)


def coloured(stream: TextIO) -> bool:
    """Whether to colour what goes to `stream`: a terminal's does, unless the environment says otherwise.

    NO_COLOR (https://no-color.org) wins over FORCE_COLOR; a dumb terminal shows no colours.
    """
    if os.environ.get("NO_COLOR"):
        return False
    if os.environ.get("FORCE_COLOR", "0") not in ("", "0"):
        return True
    return stream.isatty() and os.environ.get("TERM") != "dumb"


Choice = TypeVar("Choice", bound=str)


def choice(option: str, value: str, choices: tuple[Choice, ...]) -> Choice:
    """Return the one of `choices` that `value` is; any other value is a mistake in the command line."""
    for known in choices:
        if known == value:
            return known
    problem = f"is not one of {', '.join(choices)}" if choices else "means nothing here"
    raise typer.BadParameter(f"{value!r} {problem}.", param_hint=option)
