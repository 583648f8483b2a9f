"""What front ends get to show: pictures, findings, tables, in forms that hold up where style sheets are cut away."""

from __future__ import annotations

import builtins
import re
from decimal import Decimal
from html.parser import HTMLParser
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

import pandas as pd
import polars as pl
import pytest

import pgweave
from pgweave.compiler.pictures import draw
from pgweave.compiler.pictures.palette import DARK, LIGHT
from pgweave.designer import page_results
from pgweave.grammar.reading.highlight import tokenise
from pgweave.observe import display, picture_bundles, session_database, stored_json, text_tables, theme

if TYPE_CHECKING:
    from pathlib import Path

HOSTILE = "<script>alert(1)</script><b onclick=x>&amp;\"'"
PROGRAM = (
    "('SELECT 1 AS id' |=> 'a' ~> df.wait_for_signal('go', 60)) & (df.loop('SELECT 1', 'SELECT false') | df.sleep(3))"
)


class Reader(HTMLParser):
    """Tags and text of HTML, as a browser finds them."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)

    def handle_data(self, data: str) -> None:
        if self.tags[-1:] != ["style"] or not data.startswith(".pgweave"):
            self.text += data


def test_a_workflow_shows_itself_as_svg_and_text_but_not_as_html() -> None:
    """Where HTML is cut to its words (GitHub, notebooks that are not trusted), labels in a heap would be all that is left.

    And JupyterLab would rather draw Mermaid than show the SVG.
    """
    workflow = pgweave.parse(PROGRAM, "named")
    bundle = workflow._repr_mimebundle_()
    assert set(bundle) == {"image/svg+xml", "text/plain"}
    assert workflow._repr_mimebundle_(include={"text/vnd.mermaid"}).keys() == {"text/vnd.mermaid"}
    assert bundle["text/plain"].startswith("named\n")
    drawing = ET.fromstring(bundle["image/svg+xml"])
    assert drawing.tag == "{http://www.w3.org/2000/svg}svg"
    assert drawing.attrib["aria-label"] == "named"


def test_every_light_colour_of_a_picture_has_a_dark_one() -> None:
    """A colour without one would glare on a dark page."""
    states: dict[int | str, str] = dict(enumerate(("running", "waiting", "completed", "failed", "skipped", "pending")))
    for state in (None, states):
        picture = picture_bundles.svg(pgweave.parse(PROGRAM), state)
        drawn, rules = picture.partition("</style>")[2], theme.svg_style()
        used = {colour.lower() for colour in re.findall(r'(?:fill|stroke)="(#[0-9a-fA-F]{6})"', drawn)}
        assert LIGHT.ink in used
        assert [colour for colour in used if f"='{colour}' i]" not in rules and colour not in _unchanged()] == []
    assert DARK.ink in rules


def _unchanged() -> set[str]:
    """White has rules of its own; a few colours are the same on both grounds."""
    return {"#ffffff", "#2f9e82"}


def test_text_of_a_program_never_becomes_markup() -> None:
    workflow = pgweave.parse(f"df.start($q$SELECT '{HOSTILE}'$q$, $q${HOSTILE}$q$)")
    ET.fromstring(workflow._repr_mimebundle_()["image/svg+xml"])
    tags = Reader(workflow._repr_mimebundle_()["image/svg+xml"]).tags
    assert not {"script", "b"} & set(tags)
    shown = display.table([HOSTILE], [[HOSTILE]])["text/html"]
    assert not {"script", "b"} & set(Reader(shown).tags)
    assert HOSTILE in Reader(shown).text
    assert "script" not in Reader(display.sentence(HOSTILE)["text/html"]).tags


def test_findings_show_the_caret_in_both_forms() -> None:
    findings = pgweave.parse("'SELECT $nobody < 3'", "cell").check()
    assert isinstance(findings, list)
    bundle = findings._repr_mimebundle_()
    for text in (bundle["text/plain"], Reader(bundle["text/html"]).text):
        assert "error[PW201]: `$nobody` is not a name that any earlier step binds" in text
        assert " 2 |" not in text
        assert " 1 | 'SELECT $nobody < 3'\n   |         ^^^^^^^ no step before this one" in text
        assert "= help: " in text
    assert '<pre class="pgw-finding pgw-error"><b>error[PW201]</b>' in bundle["text/html"]
    assert pgweave.parse("'SELECT 1'").check()._repr_mimebundle_()["text/plain"] == "No findings."


def test_a_program_is_coloured_without_a_change() -> None:
    text = pgweave.parse(PROGRAM).text
    bundle = display.code(text)
    assert Reader(bundle["text/html"]).text == text
    assert 'class="pgw-call">' in bundle["text/html"]
    assert "".join(piece for _, _, piece in tokenise(text)) == text


def _result(count: int) -> dict[str, Any]:
    rows = [{"id": n, "price": Decimal("1.10"), "note": None, "tags": ["a", Decimal("2.50")]} for n in range(count)]
    return {"rows": rows, "row_count": count, "rows_affected": count}


def test_a_result_is_a_table_with_exact_numbers_and_still_a_dictionary() -> None:
    result = display.result(stored_json.written(_result(2)))
    assert result == _result(2)
    assert isinstance(result, display.Result)
    bundle = result._repr_mimebundle_()
    assert bundle["text/plain"].splitlines() == [
        "id  price  note  tags",
        "──  ─────  ────  ───────────",
        '0   1.10   NULL  ["a", 2.50]',
        '1   1.10   NULL  ["a", 2.50]',
        "(2 rows)",
    ]
    assert '<td class="pgw-number">1.10</td><td class="pgw-null">NULL</td>' in bundle["text/html"]


STORED = (
    '{"rows": [{"a": 1.50, "a": 12345678901234567890123, "n": 1e400, "j": {"k": 1, "k": 2.0}}, {"a": null, "n": 0}],'
    ' "row_count": 2, "rows_affected": 2}'
)


def test_columns_of_one_name_and_digits_of_numbers_are_shown_as_they_are_stored() -> None:
    """PostgreSQL's json keeps both, a dictionary or a float would not."""
    terminal = text_tables.readable(STORED).splitlines()
    assert terminal[0].split() == ["a", "a", "n", "j"]
    assert terminal[2].split() == ["1.50", "12345678901234567890123", "1e400", '{"k":', "1,", '"k":', "2.0}"]
    assert terminal[3].split() == ["NULL", "NULL", "0", "NULL"]
    notebook = display.result(STORED)
    assert isinstance(notebook, display.Result)
    assert notebook.columns == ("a", "a (2)", "n", "j")
    assert notebook.rows[0]["a (2)"] == 12345678901234567890123
    assert notebook["row_count"] == 2
    assert [line.split()[:2] for line in notebook._repr_mimebundle_()["text/plain"].splitlines()[2:4]] == [
        ["1.50", "12345678901234567890123"], ["NULL", "NULL"],
    ]  # fmt: skip
    page = page_results.rows(STORED)
    assert page["columns"] == ["a", "a", "n", "j"]
    assert page["rows"][0] == ["1.50", "12345678901234567890123", "1e400", '{"k": 1, "k": 2.0}']


def test_a_result_without_rows_is_indented_as_it_is_stored() -> None:
    assert text_tables.readable('{"a":1.50,"a":[],"b":[2.0,{"c":"\\u00e9"}]}') == (
        '{\n  "a": 1.50,\n  "a": [],\n  "b": [\n    2.0,\n    {\n      "c": "é"\n    }\n  ]\n}'
    )
    assert text_tables.readable('{"rows": [], "rows_affected": 3}') == "no rows returned, 3 affected"
    assert text_tables.readable('{"rows": [], "rows_affected": 0}') == "no rows"
    assert text_tables.readable('{"rows": [1.0]}') == '{\n  "rows": [\n    1.0\n  ]\n}'


def test_a_large_result_is_cut_and_its_true_count_is_said() -> None:
    bundle = display.Result(_result(12_345))._repr_mimebundle_()
    assert bundle["text/html"].count("<tr>") == display.MAX_ROWS + 1
    for text in bundle.values():
        assert f"12,345 rows, the first {display.MAX_ROWS} shown" in text
    assert "… (9,999 characters)" in display.table(["a"], [["x" * 9999]])["text/html"]


def test_what_is_no_table_says_what_it_is() -> None:
    assert display.result('"done"') == "done"
    assert display.result('{"timed_out": true}') == {"timed_out": True}
    assert display.result('{"rows": 1.50}') == {"rows": Decimal("1.50")}
    assert display.result(None) is None
    changed = display.Result(rows=[], row_count=0, rows_affected=3)
    assert changed._repr_mimebundle_()["text/plain"] == "3 rows affected"
    assert display.Result(rows=[], row_count=0)._repr_mimebundle_()["text/plain"] == "0 rows"


def test_frames_keep_rows_columns_and_decimals() -> None:
    result = display.Result(_result(3))
    frame = result.to_pandas()
    assert isinstance(frame, pd.DataFrame)
    assert list(frame.columns) == ["id", "price", "note", "tags"]
    assert frame["price"].tolist() == [Decimal("1.10")] * 3
    other = result.to_polars()
    assert isinstance(other, pl.DataFrame)
    assert other["price"].to_list() == [Decimal("1.10")] * 3
    assert other.shape == (3, 4)
    assert isinstance(result.df(), pd.DataFrame)
    assert display.Result(rows=[], row_count=0, columns=["a"]).to_pandas().shape == (0, 1)


def test_without_pandas_a_frame_is_of_polars_and_without_both_it_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    missing = {"pandas"}
    real = builtins.__import__

    def imported(name: str, *arguments: Any, **options: Any) -> Any:  # noqa: ANN401
        if name in missing:
            raise ImportError(name)
        return real(name, *arguments, **options)

    monkeypatch.setattr(builtins, "__import__", imported)
    assert isinstance(display.Result(_result(1)).df(), pl.DataFrame)
    missing.add("polars")
    with pytest.raises(ImportError, match="pip install pandas"):
        display.Result(_result(1)).df()


def test_without_graphviz_there_is_a_picture_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_drawing(*_: object) -> bytes:
        raise draw.DrawError("No Graphviz was found.")

    monkeypatch.setattr(draw, "render", no_drawing)
    bundle = picture_bundles.of_workflow(pgweave.parse("'SELECT 1'"))
    assert set(bundle) == {"text/vnd.mermaid", "text/plain"}
    assert "No Graphviz was found." in bundle["text/plain"]


def test_the_session_s_database_is_the_one_last_named(
    database: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(session_database, "_used", [])
    monkeypatch.setattr(session_database, "_servers", {})
    monkeypatch.delenv("PGWEAVE_DSN", raising=False)
    monkeypatch.setenv("PGWEAVE_DATA", str(tmp_path / "none"))
    assert session_database.known() is None
    monkeypatch.setenv("PGWEAVE_DSN", "host=environment")
    assert session_database.known() == session_database.current() == "host=environment"
    session_database.use(database)
    assert session_database.known() == session_database.current() == database
    assert session_database.known("host=given") == session_database.current("host=given") == "host=given"
    assert not (tmp_path / "none").exists()
