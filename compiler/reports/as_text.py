"""For people: every finding with its caret."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pgweave.grammar.render import render

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pgweave.compiler.reports.checked import Checked, Style


def report(files: Sequence[Checked], style: Style) -> str:
    """Findings with an empty line behind each."""
    return "".join(
        render(finding, file.source, colour=style.colour) + "\n\n" for file in files for finding in file.findings
    )
