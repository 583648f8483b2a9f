"""How thorough the property tests are. CI has a quarter of an hour for everything, so there they try fewer programs."""

from __future__ import annotations

import os

IN_CI = bool(os.environ.get("CI"))
SHARE = 5  # of the programs that are tried elsewhere, CI tries one in so many


def examples(full: int) -> int:
    """Number of examples of a property. full: as many as a run on a developer's machine tries."""
    return max(full // SHARE, min(full, 25)) if IN_CI else full
