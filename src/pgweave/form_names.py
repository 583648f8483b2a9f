"""The names of the forms that a workflow can be compiled to or drawn in."""

from __future__ import annotations

from typing import Literal, TypeAlias, get_args

Emit: TypeAlias = Literal["tree", "rows", "sql", "graph", "dot", "mermaid", "ascii"]
Format: TypeAlias = Literal["svg", "png", "pdf", "dot", "mmd"]
Style: TypeAlias = Literal["json", "table", "rows", "start"]
EMITS: tuple[Emit, ...] = get_args(Emit)
FORMATS: tuple[Format, ...] = get_args(Format)
STYLES: dict[Emit, tuple[Style, ...]] = {"rows": ("json", "table"), "sql": ("rows", "start")}
"""Forms that have more than one style; the first is the default."""
