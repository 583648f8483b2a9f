"""For GitHub Actions: workflow commands, which the forge shows as annotations beside the lines of a pull request."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pgweave.grammar.diagnostics import Severity

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pgweave.compiler.reports.checked import Checked, Style
    from pgweave.grammar.diagnostics import Diagnostic
    from pgweave.grammar.span import Source

_COMMANDS = {Severity.ERROR: "error", Severity.WARNING: "warning", Severity.INFO: "notice"}


def report(files: Sequence[Checked], style: Style) -> str:
    """One line per finding."""
    return "".join(_command(finding, file.source) + "\n" for file in files for finding in file.findings)


def _command(finding: Diagnostic, source: Source) -> str:
    start, end = source.location(finding.span.start), source.location(finding.span.end)
    place = {"file": source.name, "line": start.line, "endLine": end.line}
    if start.line == end.line:  # columns over several lines would be taken for those of the first
        place |= {"col": start.column, "endColumn": max(end.column, start.column)}
    place["title"] = f"{finding.code} {finding.rule.name}"
    text = "\n".join(part for part in (finding.title, finding.label, finding.help) if part)
    properties = ",".join(f"{name}={_property(str(value))}" for name, value in place.items())
    return f"::{_COMMANDS[finding.severity]} {properties}::{_message(text)}"


def _message(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _message(text).replace(":", "%3A").replace(",", "%2C")
