"""For scripts: one JSON array with an object per finding, as `grammar.render.as_json` describes it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from pgweave.grammar.render import as_json

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pgweave.compiler.reports.checked import Checked, Style


def report(files: Sequence[Checked], style: Style) -> str:
    """Findings of all files in one array; each names its file."""
    found = [as_json(finding, file.source) for file in files for finding in file.findings]
    return json.dumps(found, indent=2, ensure_ascii=False) + "\n"
