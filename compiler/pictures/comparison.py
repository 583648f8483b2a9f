"""Two programs in one picture: what was added, removed, changed and moved."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pgweave.compiler.compare import merged
from pgweave.compiler.pictures import folding, mermaid
from pgweave.compiler.pictures.picture import dot

if TYPE_CHECKING:
    from pgweave.compiler.compare import Compared


def text(compared: Compared, form: str, *, dark: bool = False) -> str:
    """Both programs in one picture, folded where it would be too large to read. form: `mmd` for Mermaid, else DOT."""
    both = merged(compared)
    drawn = folding.readable(both.graph)
    differences = folding.differences(drawn, both.differences)
    if form == "mmd":
        return mermaid.mermaid(drawn, differences={node: what for node, what in differences.items() if node in drawn})
    return dot(drawn, differences=differences, dark=dark, title=compared.name)
