"""QUERIES: the statements of `sql/queries.sql` by name. Nothing else in Python holds SQL."""

from __future__ import annotations

import re
from importlib import resources

_HEADING = re.compile(r"^-- ([a-z_]+) --\n", re.MULTILINE)


def _read() -> dict[str, bytes]:
    text = resources.files("pgweave.runtime").joinpath("sql/queries.sql").read_text(encoding="utf-8")
    parts = _HEADING.split(text)[1:]
    return {name: body.strip().removesuffix(";").encode() for name, body in zip(parts[::2], parts[1::2], strict=True)}


QUERIES = _read()
