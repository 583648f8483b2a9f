"""An error on standard error: what is wrong, one thing to do, and the exit code."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from pgweave.cli.options import FINDINGS, TROUBLE, coloured, say
from pgweave.grammar.render import render
from pgweave.texts import ProgramError

if TYPE_CHECKING:
    from pgweave.runtime.errors import PgweaveError


def complain(error: PgweaveError) -> int:
    """Print an error with what to do about it; return the exit code."""
    if isinstance(error, ProgramError):
        _report(error)
        return FINDINGS
    say(f"pgweave: {error}")
    if error.advice:
        say(f"  {error.advice}")
    return TROUBLE


def _report(error: ProgramError) -> None:
    for finding in error.findings:
        say(render(finding, error.source, colour=coloured(sys.stderr)))
        say("")
    count = len(error.findings)
    say(f"{count} error{'s' if count != 1 else ''}; nothing was done.")
