"""What the name of a result looks like, and a reference to one. Variables and columns that can be read look the same.

The same pattern is written in SQL (the constraint on df.nodes, df.as) and in TypeScript (the designer's form);
tests/house/test_result_names.py compares them.
"""

from __future__ import annotations

import re

NAME = "[A-Za-z_][A-Za-z0-9_]*"
"""A regular expression without groups, the same in Python, PostgreSQL and JavaScript."""

RESULT, VARIABLE = rf"\$(?:{NAME})", rf"\{{(?:{NAME})\}}"
"""`$name` and `{name}`."""

COUNTS = frozenset({"row_count", "rows_affected"})
"""What can be read of every result of SQL, unless it has a column of that name."""

_NAME = re.compile(NAME)


def is_name(text: str) -> bool:
    """Whether a step may be named so."""
    return _NAME.fullmatch(text) is not None
