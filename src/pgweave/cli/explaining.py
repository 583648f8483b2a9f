"""The body of `pgweave explain`: the pages of the diagnostics."""

from __future__ import annotations

from difflib import get_close_matches
from importlib import resources

from pgweave.grammar.diagnostics import CATALOGUE
from pgweave.runtime.errors import PgweaveError


def page(code: str) -> str:
    """The page of a diagnostic as Markdown. PgweaveError when there is none of this code."""
    found = resources.files("pgweave.grammar").joinpath(f"codes/{code.upper()}.md")
    if code.upper() not in CATALOGUE or not found.is_file():
        near = get_close_matches(code.upper(), CATALOGUE, n=1)
        raise PgweaveError(
            f"There is no diagnostic {code}.", f"Did you mean {near[0]}?" if near else "Codes look like PW201."
        )
    return found.read_text(encoding="utf-8").rstrip()
