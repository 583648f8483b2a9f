"""How a finding looks, for people and for tools."""

from __future__ import annotations

import json

from pgweave.grammar.diagnostics import Diagnostic, Edit, Fix, Note, finding
from pgweave.grammar.render import as_json, render, render_all
from pgweave.grammar.span import Source, Span


def found(text: str, piece: str, *notes: Note, fix: Fix | None = None) -> Diagnostic:
    start = text.index(piece)
    span = Span(start, start + len(piece))
    return finding("PW001", span, expected="a step", found="it", help="Do it.", notes=notes, fix=fix)


def test_a_finding_shows_code_place_line_caret_label_and_help() -> None:
    text = "one\ntwo three\n"
    assert render(found(text, "three"), Source("a.df", text)) == (
        "error[PW001]: Expected a step\n"
        "  --> a.df:2:5\n"
        "   |\n"
        " 2 | two three\n"
        "   |     ^^^^^ found it\n"
        "   |\n"
        "   = help: Do it."
    )


def test_every_note_has_its_own_caret_and_the_gutter_fits_the_longest_number() -> None:
    text = "\n" * 8 + "first\nsecond"
    note = Note(Span(14, 20), "and here")
    lines = render(found(text, "first", note), Source("a.df", text)).split("\n")
    assert lines[1:] == [
        "   --> a.df:9:1", "    |", "  9 | first", "    | ^^^^^ found it", "    |", " 10 | second", "    | ^^^^^^ and here",
        "    |", "    = help: Do it.",
    ]  # fmt: skip


def test_a_long_span_shows_its_first_and_last_lines() -> None:
    text = "\n".join(f"  line {i}" for i in range(1, 11))
    lines = render(found(text, text.strip()), Source("a.df", text)).split("\n")
    assert [line for line in lines if "line" in line or "..." in line] == [
        "  1 |   line 1", "  2 |   line 2", "  3 |   line 3", "   ...", "  8 |   line 8", "  9 |   line 9", " 10 |   line 10",
    ]  # fmt: skip
    assert lines[-3] == "    |   ^^^^^^^ found it"


def test_carets_stand_under_what_they_mean_behind_tabs_and_wide_characters() -> None:
    text = "\t漢字e\u0301 x"
    lines = render(found(text, "x"), Source("a.df", text)).split("\n")
    assert lines[3] == " 1 |     漢字e\u0301 x"
    assert lines[4] == "   | " + " " * (4 + 4 + 1 + 1) + "^ found it"


def test_an_empty_span_at_the_end_still_has_a_caret() -> None:
    said = render(finding("PW001", Span(3, 3), expected="a", found="b", help="c"), Source("a.df", "abc"))
    assert said.split("\n")[4] == "   |    ^ found b"
    assert "1:1" in render(finding("PW001", Span(0, 0), expected="a", found="b", help="c"), Source("a.df", ""))


def test_line_ends_of_windows_are_not_shown() -> None:
    text = "one\r\ntwo\r\n"
    said = render(found(text, "two"), Source("a.df", text))
    assert "\r" not in said
    assert "\ufffd" not in said


def test_colour_is_only_added_when_it_is_asked_for() -> None:
    source = Source("a.df", "abc")
    plain, coloured = (render(found("abc", "b"), source, colour=colour) for colour in (False, True))
    assert "\x1b" not in plain
    assert coloured.replace("\x1b[31;1m", "").replace("\x1b[36;1m", "").replace("\x1b[0m", "") == plain


def test_terminal_escapes_in_a_program_do_not_reach_the_terminal() -> None:
    text = "'\x1b[2Jx'"
    assert "\x1b" not in render(found(text, "x"), Source("a.df", text))


def test_several_findings_are_parted_by_an_empty_line() -> None:
    source = Source("a.df", "abc")
    assert render_all([found("abc", "a"), found("abc", "b")], source).count("\n\n") == 1
    assert render_all([], source) == ""


def test_a_finding_becomes_plain_json_for_tools() -> None:
    fix = Fix("Fix it", (Edit(Span(4, 5), "x"),), safe=True)
    said = as_json(found("one\ntwo", "two", Note(Span(0, 1), "there"), fix=fix), Source("a.df", "one\ntwo"))
    assert json.loads(json.dumps(said)) == said
    assert said["start"] == {"offset": 4, "line": 2, "column": 1}
    assert said["end"] == {"offset": 7, "line": 2, "column": 4}
    assert (said["code"], said["severity"], said["file"]) == ("PW001", "error", "a.df")
    assert said["notes"] == [
        {"text": "there", "start": {"offset": 0, "line": 1, "column": 1}, "end": {"offset": 1, "line": 1, "column": 2}}
    ]
    assert said["fix"] == {
        "title": "Fix it",
        "safe": True,
        "edits": [
            {"text": "x", "start": {"offset": 4, "line": 2, "column": 1}, "end": {"offset": 5, "line": 2, "column": 2}}
        ],
    }
