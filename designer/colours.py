"""The designer's colours: `designer/web/src/colours.css`, made from the palette of the pictures.

`python -m pgweave.designer.colours` writes the file again; a test says when that is needed.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pgweave.compiler.pictures.palette import DARK, LIGHT, Palette

if TYPE_CHECKING:
    from collections.abc import Iterator

TARGET = Path(__file__).parent / "web" / "src" / "colours.css"
_HEAD = "/* Made by `python -m pgweave.designer.colours` from compiler/pictures/palette.py. Do not edit. */\n"


def stylesheet() -> str:
    """Custom properties, light and dark: `--ink`, `--fill-wait`, `--line-wait`, `--fill-completed`, ..."""
    themes = ((".pgweave", "light", LIGHT), ('.pgweave[data-theme="dark"]', "dark", DARK))
    return _HEAD + "".join(
        f"{selector} {{\n  color-scheme: {scheme};\n{''.join(_properties(palette))}}}\n"
        for selector, scheme, palette in themes
    )


def _properties(palette: Palette) -> Iterator[str]:
    for name in ("background", "ink", "faint", "line", "data"):
        yield f"  --{name}: {getattr(palette, name)};\n"
    for pairs in (palette.frames, palette.fills, palette.states):
        for name, (fill, line) in pairs.items():
            what = name.lower() or "step"
            yield f"  --fill-{what}: {fill};\n  --line-{what}: {line};\n"


if __name__ == "__main__":
    TARGET.write_text(stylesheet(), encoding="utf-8")
