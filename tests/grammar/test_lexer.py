"""Tokens are cut as PostgreSQL cuts them."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.shape import codes, step

from pgweave.grammar import nodes
from pgweave.grammar.nodes import Text
from pgweave.grammar.reading.lexer import Token, lex

postgast: Any = import_module("postgast")  # not imported by name: mypy cannot read the stubs it ships


def cut(text: str) -> list[str]:
    return [text[token.start : token.end] for token in lex(text).tokens]


PIECES = {
    "a ~>b": ["a", "~>", "b"],
    "'a'|=>'b'": ["'a'", "|=>", "'b'"],
    "a--c\n~>b": ["a", "~>", "b"],
    "a~>--c\nb": ["a", "~>", "b"],
    "a~>/*c*/b": ["a", "~>", "b"],
    "a/* /* x */ ' */b": ["a", "b"],
    "a+-b": ["a", "+", "-", "b"],
    "a@-b": ["a", "@-", "b"],
    "a=>-1": ["a", "=>", "-", "1"],
    "a::text:=b": ["a", "::", "text", ":=", "b"],
    "1_000.5e-3+.5": ["1_000.5e-3", "+", ".5"],
    "1..2": ["1", "..", "2"],
    "0xFFg": ["0xFFg"],
    "a$b$c": ["a$b$c"],
    "$tag$ $$ ' $tag$x": ["$tag$ $$ ' $tag$", "x"],
    "$1+$2": ["$1", "+", "$2"],
    ":x :'x' :\"x\" :{?x} ::x": [":x", ":'x'", ':"x"', ":{?x}", "::", "x"],
    "'a'\n  -- c\n 'b' 'c'": ["'a'\n  -- c\n 'b'", "'c'"],
    "e'\\'' E'a''b'": ["e'\\''", "E'a''b'"],
    '"a""b" U&"d\\0061t" uescape': ['"a""b"', 'U&"d\\0061t"', "uescape"],
    "\ufeffa\r\nb": ["a", "b"],
    "ünï_cöde": ["ünï_cöde"],
}


@pytest.mark.parametrize(("text", "pieces"), PIECES.items())
def test_a_text_falls_into_its_tokens(text: str, pieces: list[str]) -> None:
    assert cut(text) == pieces


VALUES = {
    "'it''s'": "it's",
    r"'a\n'": r"a\n",
    r"E'\b\f\n\r\t\v\q\\\''": "\b\f\n\r\t\vq\\'",
    r"E'\101\x41\u0041\U00000041'": "AAAA",
    r"E'\xc3\xa9 \303\251 \ud83d\ude00'": "é é 😀",
    "E'a\\n'\n'b\\t'": "a\nb\t",
    r"U&'\0441\+01F600\\'": "с😀\\",
    "U&'d!0061t!!' UESCAPE '!'": "dat!",
    "$$it's$$": "it's",
    "$q$a$$b$q$": "a$$b",
    "N'a'": "a",
    "''": "",
    "E''": "",
    "'a\r\nb'": "a\r\nb",
}


@pytest.mark.parametrize(("text", "value"), VALUES.items())
def test_a_string_has_its_value_and_every_character_its_place(text: str, value: str) -> None:
    (token,) = lex(text).tokens
    assert token.value == value
    decoded = Text(token.value, token.span, token.anchors)
    for offset, character in enumerate(value):
        place = decoded.locate(offset)
        assert text[place] == character or text[place] in "\\'!"


REFUSED = {
    "'abc": "PW002", "E'abc\\'": "PW002", '"abc': "PW002", "$$abc": "PW002", "$a$abc$$": "PW002", "/* /* */": "PW002",
    "'a'&@>'b'": "PW005", "'a'~>@>'b'": "PW005", "df.sleep(1)|@>df.sleep(2)": "PW005", r"E'\u12'": "PW006",
    r"E'\xff'": "PW006", r"E'\ud800'": "PW006", r"E'\000'": "PW006", r"U&'\00'": "PW006", "U&'x' UESCAPE '+'": "PW006",
    "B'01'": "PW007", "x'FF'": "PW007", "'a' ~> \\gset": "PW008", "‘SELECT 1’": "PW008", "'a'\u00a0~> 'b'": "PW008",
    "'a\0b'": "PW008", "$$a\0b$$": "PW008", "'a' \0": "PW008", "{x}": "PW008", "12ab": "PW009", "0x": "PW009",
    "1__0": "PW009", "1e": "PW009",
}  # fmt: skip


@pytest.mark.parametrize(("text", "code"), REFUSED.items())
def test_what_postgres_cannot_read_is_named(text: str, code: str) -> None:
    assert codes(text)[0] == code


UNKNOWN = {
    "'a' &&& 'b'": "`&`", "'a' && 'b'": "`&`", "'a' -> 'b'": "`~>`", "'a' |> df.sleep(1)": "`~>`" , "'a' ~>> 'b'": "`~>`",
    "df.sleep(1) !>> 'b'": "`!>`", "@>> 'b'": "`@>`", "'a' @> 'b'": "'first' ~> @> 'again'", "'a' ~>@>@> 'b'": "`~> @> @>`",
}  # fmt: skip


@pytest.mark.parametrize(("text", "advice"), UNKNOWN.items())
def test_an_operator_that_steps_do_not_have_is_named_with_the_likely_one(text: str, advice: str) -> None:
    from pgweave.grammar.parser import parse
    from pgweave.grammar.span import Source

    (found,) = parse(Source("test.df", text)).diagnostics
    assert found.code == "PW005"
    assert advice in found.help


@pytest.mark.parametrize("text", ["geom &&& box", "df.sql((a && b)::text)", "df.sql(('{}'::jsonb -> 'a')::text)"])
def test_operators_of_other_types_are_left_alone(text: str) -> None:
    assert codes(text) == []


def test_a_fix_for_glued_operators_parses() -> None:
    from pgweave.grammar.parser import parse
    from pgweave.grammar.span import Source

    text = "'a'&@>'b'"
    (found,) = parse(Source("test.df", text)).diagnostics
    assert found.fix is not None
    (edit,) = found.fix.edits
    fixed = text[: edit.span.start] + edit.text + text[edit.span.end :]
    assert fixed == "'a'& @>'b'"
    assert codes(fixed) == []


def test_a_comment_may_stand_between_any_two_tokens() -> None:
    written = "df/*1*/./*2*/call_child/*3*/(/*4*/'a'/*5*/,/*6*/label/*7*/=>/*8*/'l'/*9*/)--\n|=>/*11*/'x'"
    node = step(written)
    assert isinstance(node, nodes.CallChild)
    assert node.binding is not None
    assert len(lex(written).comments) == 11


ALPHABET = "aeEuUxX&'\"$\\/*-+~>|=@?!#%<^.:;,()[]{}_019 \n\té"


@given(st.text(alphabet=ALPHABET, max_size=40))
def test_where_postgres_can_read_a_text_so_can_we_and_in_the_same_pieces(text: str) -> None:
    """PostgreSQL's scanner gives its tokens' places in bytes; ours are mapped to those. psql's variables are ours alone."""
    lexed = lex(text)
    try:
        theirs = postgast.scan(text).tokens
    except postgast.PgQueryError:
        return
    comments = {275, 276}  # SQL_COMMENT, C_COMMENT
    expected = [(token.start, token.end) for token in theirs if token.token not in comments]

    def placed(token: Token) -> tuple[int, int]:
        return len(text[: token.start].encode()), len(text[: token.end].encode())

    ours = [placed(token) for token in lexed.tokens]
    if ":" in text:
        return
    found = {diagnostic.code for diagnostic in lexed.diagnostics}
    assert found <= {
        "PW005",
        "PW007",
        "PW008",
    }  # tokenised correctly, but not part of the language: PostgreSQL's grammar has no use for it
    # Glued operators are read on as if there were a space, and a comment of another language as if it were one.
    read_on = "PW005" in found or any("begins no comment" in diagnostic.label for diagnostic in lexed.diagnostics)
    assert read_on or ours == expected
