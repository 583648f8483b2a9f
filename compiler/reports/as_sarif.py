"""For code scanning: SARIF 2.1.0 (OASIS, "Static Analysis Results Interchange Format").

Columns count characters, as everywhere in pgweave, which the file says (`columnKind`). A fingerprint names a finding by what it is
about and not by its line, so that a service recognises it after lines were added above it.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from importlib import resources
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from pgweave.grammar.diagnostics import CATALOGUE, Severity

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pgweave.compiler.reports.checked import Checked, Style
    from pgweave.grammar.diagnostics import Diagnostic, Edit, Rule
    from pgweave.grammar.span import Source, Span

SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"
_LEVELS = {Severity.ERROR: "error", Severity.WARNING: "warning", Severity.INFO: "note"}


def report(files: Sequence[Checked], style: Style) -> str:
    """One run with the rules that were hit, and every finding."""
    found = (finding.rule for file in files for finding in file.findings)
    rules = {rule.code: CATALOGUE.get(rule.code, rule) for rule in found}  # a finding may be graver than its rule
    order = {code: index for index, code in enumerate(sorted(rules))}
    driver: dict[str, Any] = {"name": "pgweave", "rules": [_rule(rules[code]) for code in order]}
    if style.version:
        driver["version"] = style.version
    run = {
        "tool": {"driver": driver},
        "columnKind": "unicodeCodePoints",
        "artifacts": [{"location": _location(file.source)} for file in files],
        "results": [result for number, file in enumerate(files) for result in _results(file, number, order)],
    }
    return json.dumps({"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}, indent=2, ensure_ascii=False) + "\n"


def _rule(rule: Rule) -> dict[str, Any]:
    described = {
        "id": rule.code,
        "name": "".join(word.capitalize() for word in rule.name.split("-")),
        "shortDescription": {"text": rule.name.replace("-", " ")},
        "defaultConfiguration": {"level": _LEVELS[rule.severity]},
    }
    page = resources.files("pgweave.grammar").joinpath(f"codes/{rule.code}.md")
    if page.is_file():
        text = page.read_text(encoding="utf-8")
        described["help"] = {"text": text, "markdown": text}
    return described


def _results(file: Checked, artifact: int, order: dict[str, int]) -> Iterator[dict[str, Any]]:
    seen: Counter[str] = Counter()
    for finding in file.findings:
        # No line number, which changes with every line above. \0 keeps the parts from running
        # together.
        about = f"{finding.code}\0{file.source.name}\0{_line(file.source, finding.span)}\0{finding.label}"
        seen[about] += 1
        # seen: two equal lines with equal findings are the first and the second of their kind.
        fingerprint = hashlib.sha256(f"{about}\0{seen[about]}".encode(errors="surrogatepass")).hexdigest()
        yield {
            "ruleId": finding.code,
            "ruleIndex": order[finding.code],
            "level": _LEVELS[finding.severity],
            "message": {"text": _message(finding)},
            "locations": [{"physicalLocation": _place(file.source, artifact, finding.span)}],
            "partialFingerprints": {"pgweave/v1": fingerprint},
            **_related(finding, file.source, artifact),
            **_fixes(finding, file.source, artifact),
        }


def _message(finding: Diagnostic) -> str:
    said = ": ".join(part for part in (finding.title, finding.label) if part)
    return f"{said}. {finding.help}".strip()


def _line(source: Source, span: Span) -> str:
    return source.line(source.location(span.start).line).strip()


def _related(finding: Diagnostic, source: Source, artifact: int) -> dict[str, Any]:
    related = [
        {"id": number, "message": {"text": note.text}, "physicalLocation": _place(source, artifact, note.span)}
        for number, note in enumerate(finding.notes, 1)
    ]
    return {"relatedLocations": related} if related else {}


def _fixes(finding: Diagnostic, source: Source, artifact: int) -> dict[str, Any]:
    if finding.fix is None:
        return {}
    changes = [_replacement(edit, source) for edit in finding.fix.edits]
    change = {"artifactLocation": {**_location(source), "index": artifact}, "replacements": changes}
    return {"fixes": [{"description": {"text": finding.fix.title}, "artifactChanges": [change]}]}


def _replacement(edit: Edit, source: Source) -> dict[str, Any]:
    return {"deletedRegion": _region(source, edit.span), "insertedContent": {"text": edit.text}}


def _place(source: Source, artifact: int, span: Span) -> dict[str, Any]:
    return {"artifactLocation": {**_location(source), "index": artifact}, "region": _region(source, span)}


def _location(source: Source) -> dict[str, Any]:
    """A URI reference: relative for a relative path, so that a service finds the file in its checkout."""
    path = source.name.replace("\\", "/").removeprefix("./")
    return {"uri": ("file://" if path.startswith("/") else "") + quote(path, safe="/")}


def _region(source: Source, span: Span) -> dict[str, Any]:
    start, end = source.location(span.start), source.location(span.end)
    return {
        "startLine": start.line,
        "startColumn": start.column,
        "endLine": end.line,
        "endColumn": end.column,
        "charOffset": span.start,
        "charLength": len(span),
    }
