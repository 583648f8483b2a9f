"""For every other CI: JUnit XML. A file is a test suite; a file without findings is one test that passed."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from xml.sax.saxutils import escape, quoteattr

from pgweave.grammar.render import render

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pgweave.compiler.reports.checked import Checked, Style
    from pgweave.grammar.diagnostics import Diagnostic

# What XML 1.0 cannot hold, however it is escaped.
_FORBIDDEN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")


def report(files: Sequence[Checked], style: Style) -> str:
    """All files as one document. Findings that do not fail the check are in the output of a test that passed."""
    failures = sum(_fails(finding, style) for file in files for finding in file.findings)
    tests = sum(max(1, len(file.findings)) for file in files)
    lines = [
        '<?xml version="1.0" encoding="utf-8"?>',
        f'<testsuites name="pgweave check" tests="{tests}" failures="{failures}" errors="0">',
        *(line for file in files for line in _suite(file, style)),
        "</testsuites>",
    ]
    return "\n".join(lines) + "\n"


def _fails(finding: Diagnostic, style: Style) -> bool:
    return finding.severity in style.failing


def _suite(file: Checked, style: Style) -> Iterator[str]:
    name = _attribute(file.source.name)
    failures = sum(_fails(finding, style) for finding in file.findings)
    yield f'  <testsuite name={name} tests="{max(1, len(file.findings))}" failures="{failures}" errors="0">'
    if not file.findings:
        yield f'    <testcase name="no findings" classname={name}/>'
    for finding in file.findings:
        yield from _case(finding, file, style)
    yield "  </testsuite>"


def _case(finding: Diagnostic, file: Checked, style: Style) -> Iterator[str]:
    where = file.source.location(finding.span.start)
    title = f"{finding.code} {finding.rule.name} at {where.line}:{where.column}"
    yield f"    <testcase name={_attribute(title)} classname={_attribute(file.source.name)}>"
    text = escape(_FORBIDDEN.sub("\ufffd", render(finding, file.source)))
    if _fails(finding, style):
        kind, message = finding.severity.value, _attribute(finding.title)
        yield f'      <failure type="{kind}" message={message}>{text}</failure>'
    else:
        yield f"      <system-out>{text}</system-out>"
    yield "    </testcase>"


def _attribute(text: str) -> str:
    return quoteattr(_FORBIDDEN.sub("\ufffd", text))
