"""Findings with their carets, results as tables, sentences, code: as mime bundles for notebooks.

In: findings and values of results. Out: HTML that reads well without its style sheet, and plain text. Pictures are in
`picture_bundles`, which needs networkx.
"""

from __future__ import annotations

import html
import re
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Protocol, cast

from pgweave.grammar.reading.highlight import tokenise
from pgweave.grammar.render import render
from pgweave.grammar.shortened import cut
from pgweave.observe import stored_json, theme

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pgweave.grammar.diagnostics import Diagnostic
    from pgweave.grammar.span import Source

Bundle = dict[str, str]


class Printer(Protocol):
    """IPython's pretty printer. It prints a list or a dictionary itself, and ignores the text of its mime bundle."""

    def text(self, obj: str) -> None:
        """Print."""


MAX_ROWS = 20
"""Rows of a table that are shown; the true count stands below."""
MAX_CELL = 2_000
"""Characters of one value that are shown."""
LONG_CELL = 24
"""Characters of a value that stand on one line even in a table with many columns."""


# Findings


class Findings(list["Diagnostic"]):
    """Findings about one text, in its order; a list that shows itself."""

    def __init__(self, findings: Iterable[Diagnostic], source: Source) -> None:
        super().__init__(findings)
        self.source = source

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> Bundle:
        return findings(self, self.source)

    def _repr_pretty_(self, printer: Printer, cycle: bool) -> None:
        printer.text(findings(self, self.source)["text/plain"])


def findings(found: Iterable[Diagnostic], source: Source) -> Bundle:
    """All findings with their carets; a sentence when there are none."""
    found = list(found)
    if not found:
        return sentence("No findings.")
    plain = "\n\n".join(finding_text(one, source) for one in found)
    return {"text/html": page("".join(finding_html(one, source) for one in found)), "text/plain": plain}


def finding_text(finding: Diagnostic, source: Source) -> str:
    """One finding as `pgweave check` prints it."""
    return render(finding, source)


def finding_html(finding: Diagnostic, source: Source) -> str:
    """One finding as HTML, for a `page`: the excerpt as `pgweave check` prints it, in colours."""
    text = html.escape(render(finding, source), quote=False)
    title, _, rest = text.partition("\n")
    severity = finding.severity.value
    title = re.sub(r"\A\w+\[[^\]]*\]", lambda head: f"<b>{head[0]}</b>", title)
    rest = re.sub(r"(?m)^(\s*\| *)(\^+.*)$", r"\1<b>\2</b>", rest)
    # The excerpt keeps its lines, for the carets; what is said below it may be wrapped.
    rest = re.sub(
        r"(?m)^( *= )help: (.*)\n?", r'<span class="pgw-line">\1<i class="pgw-help">help</i>: \2</span>', rest
    )
    return f'<pre class="pgw-finding pgw-{severity}">{title}\n{rest}</pre>'


# Sentences, code


def page(inner: str) -> str:
    """HTML with pgweave's style sheet."""
    return f'<div class="pgweave"><style>{theme.style()}</style>{inner}</div>'


def sentence(text: str) -> Bundle:
    """A line for people."""
    return {"text/html": page(f"<p>{html.escape(text)}</p>"), "text/plain": text}


def code(text: str) -> Bundle:
    """A program of the language, coloured."""
    pieces = []
    for _, kind, piece in tokenise(text):
        name = _CODE.get(kind)
        shown = html.escape(piece, quote=False)
        pieces.append(f'<span class="pgw-{name}">{shown}</span>' if name else shown)
    return {"text/html": page(f'<pre class="pgw-code">{"".join(pieces)}</pre>'), "text/plain": text}


_CODE = {
    "comment": "comment", "string": "string", "escape": "number-literal", "keyword": "keyword", "call": "call",
    "operator": "keyword", "number": "number-literal", "placeholder": "number-literal",
}  # fmt: skip


def markdown(text: str) -> Bundle:
    """A page of the manual."""
    return {"text/markdown": text, "text/plain": text}


# Results


def result(text: str | None) -> object:
    """A result in the database's JSON text as it is best shown: rows as a `Result`, anything else as Python's values."""
    if text is None:
        return None
    value = stored_json.read(text)
    table = stored_json.rows(value)
    if table is None:
        return stored_json.python(value)
    columns = stored_json.distinct(table.columns)
    rows = [dict(zip(columns, map(stored_json.python, row), strict=True)) for row in table.rows]
    return Result({name: rows if name == "rows" else stored_json.python(one) for name, one in value})


class Result(dict[str, Any]):
    """Rows that a workflow or a query came to: a dictionary, as in `$name`, that shows itself as a table.

    Numbers are exact: int, or decimal.Decimal where there is a point.
    """

    @property
    def rows(self) -> list[dict[str, Any]]:
        """Each row by the names of its columns."""
        return cast("list[dict[str, Any]]", self["rows"])

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the columns, in the order of the query where it is known."""
        return tuple(self.get("columns") or dict.fromkeys(name for row in self.rows for name in row))

    def df(self) -> Any:  # noqa: ANN401 - whichever of the two is there
        """A data frame: of pandas, else of polars. ImportError when neither is installed."""
        try:
            return self.to_pandas()
        except ImportError:
            pass
        try:
            return self.to_polars()
        except ImportError as missing:
            raise ImportError("A data frame needs pandas or polars: pip install pandas") from missing

    def to_pandas(self) -> Any:  # noqa: ANN401 - pandas is optional
        """A pandas.DataFrame; decimals stay decimals."""
        import pandas as pd

        columns = self.columns
        return pd.DataFrame([[row.get(name) for name in columns] for row in self.rows], columns=list(columns))

    def to_polars(self) -> Any:  # noqa: ANN401 - polars is optional
        """A polars.DataFrame; decimals stay decimals, objects and arrays become structs and lists."""
        import polars as pl

        series = [pl.Series(name, [row.get(name) for row in self.rows], strict=False) for name in self.columns]
        return pl.DataFrame(series)

    def _repr_pretty_(self, printer: Printer, cycle: bool) -> None:
        printer.text(self._repr_mimebundle_()["text/plain"])

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> Bundle:
        columns = self.columns
        return table(columns, [[row.get(name) for name in columns] for row in self.rows], self.note)

    @property
    def note(self) -> str:
        """What to say of rows that a statement changed without returning them."""
        affected = self.get("rows_affected", 0)
        return f"{affected:,} row{'s' * (affected != 1)} affected" if affected and not self.rows else ""


def table(columns: Iterable[str], rows: list[list[object]], note: str = "") -> Bundle:
    """Rows as a table; beyond MAX_ROWS they are cut and counted. note: said instead of `0 rows`."""
    columns, count = list(columns), len(rows)
    shown = [[_cell(value) for value in row] for row in rows[:MAX_ROWS]]
    summary = f"{count:,} row{'s' * (count != 1)}" + (f", the first {MAX_ROWS} shown" if count > MAX_ROWS else "")
    summary = note or summary
    if not columns:
        return sentence(summary)
    head = "".join(
        f'<th scope="col"{_NUMBER if all(row[at][1] == _NUMBER for row in shown) else ""}>{html.escape(name)}</th>'
        for at, name in enumerate(columns)
    )
    body = "".join(f"<tr>{''.join(f'<td{look}>{html.escape(text)}</td>' for text, look in row)}</tr>" for row in shown)
    drawn = f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
    plain = _plain_table(columns, [[text for text, _ in row] for row in shown])
    return {
        "text/html": page(f'{drawn}<p class="pgw-faint">{summary}</p>'),
        "text/plain": f"{plain}\n({summary})",
    }


_NUMBER = ' class="pgw-number"'


def _cell(value: object) -> tuple[str, str]:
    """A value as text, and how its cell looks."""
    if value is None:
        return "NULL", ' class="pgw-null"'
    if isinstance(value, bool):
        return str(value).lower(), ""
    if isinstance(value, int | float | Decimal):
        return str(value), _NUMBER
    text = (
        value
        if isinstance(value, str)
        else stored_json.written(value, default=str)
        if isinstance(value, dict | list)
        else str(value)
    )
    look = ' class="pgw-long"' if len(text) > LONG_CELL else ""
    return (text if len(text) <= MAX_CELL else f"{text[:MAX_CELL]}… ({len(text):,} characters)"), look


def _plain_table(columns: list[str], rows: list[list[str]]) -> str:
    """Columns side by side, for terminals and text/plain."""
    cells = [[_one_line(text) for text in row] for row in (columns, *rows)]
    widths = [max(len(row[at]) for row in cells) for at in range(len(columns))]
    lines = ["  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip() for row in cells]
    return "\n".join([lines[0], "  ".join("─" * width for width in widths), *lines[1:]])


def _one_line(text: str, width: int = 60) -> str:
    line = "".join(character if character.isprintable() else " " for character in text)
    return cut(line, width)
