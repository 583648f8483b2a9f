"""The body of `pgweave summary`: workflows, their differences from a git revision and their findings, as Markdown."""

from __future__ import annotations

from pathlib import PurePath
from typing import TYPE_CHECKING

from pgweave.cli.files import sources
from pgweave.cli.output import write
from pgweave.compiler import graph
from pgweave.compiler.compare import compare, variables
from pgweave.compiler.pictures import comparison, folding, mermaid
from pgweave.compiler.pictures.palette import SIGNS
from pgweave.compiler.reports.checked import Checked
from pgweave.compiler.reports.checked import summary as counted
from pgweave.config import load
from pgweave.grammar.nodes import Module
from pgweave.grammar.parser import parse
from pgweave.grammar.span import Source
from pgweave.revisions import changed, git, shown
from pgweave.runtime.errors import PgweaveError
from pgweave.texts import decode
from pgweave.workflow import findings

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from pgweave.compiler.compare import Compared
    from pgweave.config import Config

MOST_CHANGES = 50  # of one workflow that are listed; the picture shows them all


def summarise(paths: list[str], base: str | None, output: Path | None, config_file: Path | None) -> None:
    """Write Markdown about the workflows below `paths`. base: a git revision; then only about what differs from it."""
    config = load(config_file)
    checked = []
    pairs: list[tuple[str, Source | None, Source | None]] = []
    for source in sources(paths, config):
        before = _before(base, source.name)
        # Byte for byte: a file that was only laid out is compared too, and has no difference to show.
        if base is None or before is None or before.text != source.text:
            pairs.append((source.name, before, source))
        found = tuple(finding for finding in findings(source, config.target) if config.selects(finding.code))
        checked.append(Checked(source, found))
    pairs += [(name, before, None) for name, before in _deleted(base, paths, config)]
    text = "\n".join(_document(checked, pairs, base)) + "\n"
    write(text.encode(errors="replace"), output)


def _before(base: str | None, name: str) -> Source | None:
    """The text of a file in the base; None: there is no base, or no such file in it."""
    if base is None:
        return None
    git("rev-parse", "--verify", "--quiet", "--end-of-options", f"{base}^{{commit}}")  # a wrong revision is no new file
    try:
        return decode(name, shown(base, name))
    except PgweaveError:
        return None


def _deleted(base: str | None, paths: Sequence[str], config: Config) -> Iterator[tuple[str, Source]]:
    if base is not None:
        for name in changed(base, paths, "D"):
            before = _before(base, name)
            if before is not None and any(PurePath(name).match(pattern) for pattern in config.include):
                yield name, before


def _document(
    checked: Sequence[Checked], pairs: Sequence[tuple[str, Source | None, Source | None]], base: str | None
) -> Iterator[str]:
    yield "## Workflows"
    yield ""
    yield f"{len(checked)} file{'s' if len(checked) != 1 else ''} checked. {counted(checked)}"
    yield ""
    yield from _findings(checked)
    if base is not None and not pairs:
        yield f"No workflow differs from `{base}`."
    for name, before, after in pairs:
        yield from _file(name, before, after, compared=base is not None)


def _findings(checked: Sequence[Checked]) -> Iterator[str]:
    rows = [(file, finding) for file in checked for finding in file.findings]
    if not rows:
        return
    yield "| | Where | Finding |"
    yield "|---|---|---|"
    for file, finding in rows:
        where = file.source.location(finding.span.start)
        said = finding.title + (f": {finding.label}" if finding.label else "")
        yield f"| {finding.severity.value} {finding.code} | {_cell(file.source.name)}:{where.line} | {_cell(said)} |"
    yield ""


def _file(name: str, before: Source | None, after: Source | None, *, compared: bool) -> Iterator[str]:
    old, new = _module(before), _module(after)
    if old is None or new is None:
        yield f"### {_cell(name)}"
        yield ""
        yield "It cannot be read, so it is not drawn."
        yield ""
        return
    for change in variables(old, new) if compared else ():
        yield f"- {_cell(name)}: {change.what} {_cell(change.said)}"
    for one in compare(old, new):
        if one.what:
            yield from _workflow(name, one, compared=compared)


def _module(source: Source | None) -> Module | None:
    """The workflows of a text; none when there is no text; None when it cannot be read."""
    if source is None:
        return Module(source=Source("", ""))
    parsed = parse(source)
    return parsed.module if parsed.ok else None


def _workflow(file: str, one: Compared, *, compared: bool) -> Iterator[str]:
    yield f"### {_cell(one.name)}" + (f" ({one.what})" if compared else "")
    yield ""
    yield _cell(file)
    yield ""
    for change in one.changes[:MOST_CHANGES]:
        yield f"- `{SIGNS[change.what]}` {change.what} {_cell(change.said)}"
    if len(one.changes) > MOST_CHANGES:
        yield f"- and {len(one.changes) - MOST_CHANGES} more"
    definition = one.new or one.old
    assert definition is not None
    alone = not compared or one.old is None or one.new is None
    drawn = mermaid.mermaid(folding.readable(graph.build(definition))) if alone else comparison.text(one, "mmd")
    yield ""
    yield "```mermaid"
    yield drawn.rstrip()
    yield "```"
    yield ""


_SPECIAL = "\\`*_{}[]<>()#+!|~&$"


def _cell(text: str) -> str:
    """Text that Markdown shows as it is, in one line of a table too."""
    return "".join(f"\\{character}" if character in _SPECIAL else character for character in " ".join(text.split()))
