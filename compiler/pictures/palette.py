"""Colours of pictures, light and dark. Text and ground differ by a contrast of at least 4.5 (WCAG 2.2, AA)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

STATES = ("pending", "running", "waiting", "completed", "failed", "skipped")
SIGNS = {"added": "+", "removed": "-", "changed": "~", "moved": ">"}
DIFFERENCES = tuple(SIGNS)


@dataclass(frozen=True, slots=True)
class Palette:
    """Colours of one theme; pairs are fill and line.

    frames: by the kind of the block. fills: by what a box does. states, differences: by STATES and DIFFERENCES.
    """

    background: str
    ink: str
    faint: str
    line: str
    data: str
    frames: Mapping[str, tuple[str, str]]
    fills: Mapping[str, tuple[str, str]]
    states: Mapping[str, tuple[str, str]]
    differences: Mapping[str, tuple[str, str]]


LIGHT = Palette(
    background="#ffffff",
    ink="#1f2933",
    faint="#52606d",
    line="#52606d",
    data="#0b7285",
    frames={
        "LOOP": ("#f4f6f8", "#7b8794"),
        "JOIN": ("#f3f7fd", "#3f6fb0"),
        "RACE": ("#fff6ee", "#b2601b"),
        "CHILD": ("#eefaf6", "#2f9e82"),
        "IF": ("#ffffff", "#ffffff"),
    },
    fills={
        "": ("#ffffff", "#52606d"),
        "wait": ("#fff8d6", "#a27b00"),
        "choice": ("#e3edff", "#3563a8"),
        "http": ("#f3e8ff", "#7c4dbd"),
        "call": ("#d9f5ec", "#2f9e82"),
        "break": ("#ffe9e4", "#c05640"),
        "opaque": ("#ffffff", "#52606d"),
    },
    states={
        "pending": ("#ffffff", "#9aa5b1"),
        "running": ("#d0ebff", "#1971c2"),
        "waiting": ("#fff3bf", "#b08900"),
        "completed": ("#d3f9d8", "#2b8a3e"),
        "failed": ("#ffe3e3", "#c92a2a"),
        "skipped": ("#ffffff", "#b8c0c8"),
    },
    differences={
        "added": ("#d3f9d8", "#2b8a3e"),
        "removed": ("#ffe3e3", "#c92a2a"),
        "changed": ("#fff3bf", "#b08900"),
        "moved": ("#e5dbff", "#6741d9"),
    },
)
DARK = Palette(
    background="#15191e",
    ink="#e4e7eb",
    faint="#9aa5b1",
    line="#9aa5b1",
    data="#5bc8dc",
    frames={
        "LOOP": ("#1c2229", "#616e7c"),
        "JOIN": ("#182233", "#6f9bd8"),
        "RACE": ("#2a2018", "#d08b4c"),
        "CHILD": ("#14261f", "#2f9e82"),
        "IF": ("#15191e", "#15191e"),
    },
    fills={
        "": ("#262d35", "#9aa5b1"),
        "wait": ("#3a3312", "#c9a227"),
        "choice": ("#1d2f4f", "#7fa3d1"),
        "http": ("#34224a", "#b197fc"),
        "call": ("#123a33", "#3bc9a3"),
        "break": ("#47231b", "#e8846b"),
        "opaque": ("#15191e", "#9aa5b1"),
    },
    states={
        "pending": ("#262d35", "#616e7c"),
        "running": ("#123c5e", "#4dabf7"),
        "waiting": ("#4a3d08", "#fcc419"),
        "completed": ("#153d1f", "#51cf66"),
        "failed": ("#541717", "#ff8787"),
        "skipped": ("#15191e", "#4a5561"),
    },
    differences={
        "added": ("#153d1f", "#51cf66"),
        "removed": ("#541717", "#ff8787"),
        "changed": ("#4a3d08", "#fcc419"),
        "moved": ("#2f2257", "#b197fc"),
    },
)
