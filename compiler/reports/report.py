"""A report in any of the formats; the module of a format is loaded when it is asked for."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Protocol, cast

from pgweave.compiler.reports.checked import FORMATS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pgweave.compiler.reports.checked import Checked, Style


class Reporter(Protocol):
    """What every module `as_FORMAT` has."""

    def report(self, files: Sequence[Checked], style: Style) -> str:
        """Write all findings of all files; ends in a line feed unless it is empty."""


def write(files: Sequence[Checked], format: str, style: Style) -> str:  # noqa: A002 - as in --output-format
    """Write a report. format: one of FORMATS; ValueError on another."""
    if format not in FORMATS:
        raise ValueError(f"unknown report {format!r}; there are {', '.join(FORMATS)}")
    reporter = cast("Reporter", import_module(f"pgweave.compiler.reports.as_{format}"))  # lazy: start-up
    return reporter.report(files, style)
