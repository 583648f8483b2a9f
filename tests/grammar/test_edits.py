"""Edits by example: a text with the step to edit between « and », the edit, and the text that comes out.

`test_edits_of_any_program.py` says the same of random programs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from support import ast

from pgweave.grammar.diagnostics import Edit
from pgweave.grammar.editing import edits
from pgweave.grammar.editing.edits import EditError, apply, place_at, place_of, places, step_place
from pgweave.grammar.parser import parse
from pgweave.grammar.span import Source, Span

if TYPE_CHECKING:
    from collections.abc import Callable

    from pgweave.grammar.editing.edits import Edits
    from pgweave.grammar.nodes import Module

NEW = ast.sql("new")
OTHER = ast.sql("other")


def module(text: str, file: str = "x.df") -> Module:
    parsed = parse(Source(file, text))
    assert parsed.ok, text
    return parsed.module


def edited(marked: str, edit: Callable[..., Edits], *arguments: object, file: str = "x.df") -> str:
    """The text after an edit of the smallest step that contains everything between « and »."""
    head, _, rest = marked.partition("«")
    inside, _, tail = rest.partition("»")
    text = head + inside + tail
    place = place_at(module(text, file), len(head), len(head) + len(inside))
    assert place is not None
    return apply(text, edit(place, *arguments))


def check(before: str, after: str, edit: Callable[..., Edits], *arguments: object) -> None:
    """An expression is edited alike when it is alone and as the argument of df.start."""
    assert edited(before, edit, *arguments) == after
    assert edited(f"SELECT df.start({before}, 'l');", edit, *arguments) == f"SELECT df.start({after}, 'l');"


def examples(*pairs: tuple[str, str]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize(("before", "after"), pairs)


# Replace, insert, duplicate, delete


@examples(
    ("'a' ~> «'b'»", "'a' ~> ('new' ~> 'other')"),
    ("'a' & «'b'»", "'a' & ('new' ~> 'other')"),
    ("df.loop(«'a'», 'b')", "df.loop('new' ~> 'other', 'b')"),
)
def test_a_step_is_replaced_with_parentheses_where_they_are_needed(before: str, after: str) -> None:
    check(before, after, edits.replace_step, ast.then(NEW, OTHER))


def test_a_step_is_replaced_by_one_that_needs_no_parentheses() -> None:
    check("'a' ~> «'b'»", "'a' ~> 'new'", edits.replace_step, NEW)


@examples(
    ("'a' ~> «'b'»", "'a' ~> 'b' ~> 'new'"),
    ("«'a'» ~> 'b'", "'a' ~> 'new' ~> 'b'"),
    ("'a' & «'b'»", "'a' & ('b' ~> 'new')"),
    ("«'a'» & 'b'", "('a' ~> 'new') & 'b'"),
    ("«'a' & 'b'»", "('a' & 'b') ~> 'new'"),
    ("«'a' |=> 'x'» ~> 'b'", "'a' |=> 'x' ~> 'new' ~> 'b'"),
    ("('a' ~> «'b'») |=> 'x'", "('a' ~> 'b') |=> 'x' ~> 'new'"),
    ("@> «'a'»", "@> ('a' ~> 'new')"),
)
def test_a_step_is_inserted_after_another(before: str, after: str) -> None:
    check(before, after, edits.insert_after, NEW)


@examples(
    ("«'a'» ~> 'b'", "'new' ~> 'a' ~> 'b'"),
    ("'a' ~> «'b'»", "'a' ~> 'new' ~> 'b'"),
    ("«'a' ~> 'b'»", "'new' ~> 'a' ~> 'b'"),
    ("«'a'» |=> 'x' ~> 'b'", "'new' ~> ('a' |=> 'x') ~> 'b'"),
    ("«'a' & 'b'»", "'new' ~> ('a' & 'b')"),
)
def test_a_step_is_inserted_before_another(before: str, after: str) -> None:
    check(before, after, edits.insert_before, NEW)


def test_a_step_is_duplicated() -> None:
    check("«'a'» ~> 'b'", "'a' ~> 'a' ~> 'b'", edits.duplicate)


@examples(
    ("'a' ~> 'b' ~> «'c'»", "'a' ~> 'b'"),
    ("'a' ~> «'b'» ~> 'c'", "'a' ~> 'c'"),
    ("«'a'» ~> 'b' ~> 'c'", "'b' ~> 'c'"),
    ("(«'a'» & 'b') ~> 'c'", "'b' ~> 'c'"),
    ("df.join3('a', «'b' ~> 'd'», 'c')", "df.join('a', 'c')"),
    ("df.join3(«'a'», 'b', 'c')", "df.join('b', 'c')"),
    ("df.loop('a', «'b'»)", "df.loop('a')"),
    ("('a' ~> «'b'») |=> 'x'", "'a' |=> 'x'"),
    ("df.seq('a' & 'b', «'c'») & 'd'", "'a' & 'b' & 'd'"),
    ("df.seq('a' & 'b', «'c'») | 'd'", "('a' & 'b') | 'd'"),
)
def test_a_step_is_deleted_with_its_operator(before: str, after: str) -> None:
    check(before, after, edits.delete)


# Wrap and unwrap


@examples(
    ("«'a' ~> 'b'»", "@> ('a' ~> 'b')"),
    ("'a' ~> «'b'»", "'a' ~> (@> 'b')"),
    ("(«'a' & 'b'») ~> 'c'", "(@> ('a' & 'b')) ~> 'c'"),
)
def test_a_step_is_wrapped_in_a_loop(before: str, after: str) -> None:
    check(before, after, edits.wrap_in_loop)


@examples(
    ("'a' ~> «'b'»", "'a' ~> df.loop('b', 'new')"),
    ("(«'a' & 'b'») ~> 'c'", "df.loop('a' & 'b', 'new') ~> 'c'"),
)
def test_a_step_is_wrapped_in_a_loop_with_a_condition(before: str, after: str) -> None:
    check(before, after, edits.wrap_in_loop, NEW)


@examples(
    ("'a' ~> «'b'»", "'a' ~> ('new' ?> 'b' !> 'other')"),
    ("«'a' ~> 'b'»", "'new' ?> ('a' ~> 'b') !> 'other'"),
)
def test_a_step_is_wrapped_in_an_if(before: str, after: str) -> None:
    check(before, after, edits.wrap_in_if, NEW, OTHER)


@examples(
    ("'a' ~> «'b'»", "'a' ~> ('b' & 'new')"),
    ("«'a'» & 'b'", "'a' & 'new' & 'b'"),
)
def test_a_step_is_wrapped_in_a_join(before: str, after: str) -> None:
    check(before, after, edits.wrap_in_join, NEW)


def test_a_step_is_wrapped_in_a_race() -> None:
    check("«'a'» |=> 'x'", "('a' |=> 'x') | 'new'", edits.wrap_in_race, NEW)


def test_a_step_is_wrapped_in_a_timeout() -> None:
    check("'a' ~> «'b'»", "'a' ~> ('b' | df.sleep(10))", edits.wrap_in_timeout, 10)


def test_a_step_is_wrapped_in_a_child() -> None:
    check("'a' ~> «'b'»", "'a' ~> df.call_child('b')", edits.wrap_in_child)


def test_a_step_is_wrapped_in_a_child_with_a_label() -> None:
    check("(«'a' & 'b'») ~> 'c'", "df.call_child('a' & 'b', 'name') ~> 'c'", edits.wrap_in_child, "name")


def test_a_step_is_put_in_parentheses() -> None:
    check("'a' ~> «'b'»", "'a' ~> ('b')", edits.parenthesise)


@examples(
    ("(«@> ('a' ~> 'b')») & 'c'", "('a' ~> 'b') & 'c'"),
    ("«df.call_child('a' ~> 'b', 'l')» & 'c'", "('a' ~> 'b') & 'c'"),
    ("«df.call_child('a' ~> 'b', 'l')»", "'a' ~> 'b'"),
    ("«'c' ?> ('t' ~> 'u') !> 'e'»", "('t' ~> 'u')"),
    ("«(@> ('a' ~> 'b')) |=> 'x'»", "('a' ~> 'b') |=> 'x'"),
    ("«(@> ('a' |=> 'y')) |=> 'x'»", "('a' |=> 'y')"),
)
def test_unwrapping_keeps_the_inner_step_and_a_name(before: str, after: str) -> None:
    """The inner step's name wins if both have one."""
    check(before, after, edits.unwrap)


def test_unwrapping_can_keep_the_other_branch() -> None:
    check("(«'c' ?> 't' !> 'e'») ~> 'z'", "'e' ~> 'z'", edits.unwrap, 1)


# Names


@examples(
    ("'a' ~> «'b'»", "'a' ~> ('b' |=> 'x')"),
    ("«'a'» ~> 'b'", "'a' |=> 'x' ~> 'b'"),
    ("«'a' ~> 'b'»", "('a' ~> 'b') |=> 'x'"),
    ("«'a'» |=> 'y'", "'a' |=> 'x'"),
)
def test_a_step_is_given_a_name(before: str, after: str) -> None:
    check(before, after, edits.set_name, "x")


@examples(
    ("«('a' ~> 'b') |=> 'x'»", "('a' ~> 'b')"),
    ("«df.as('a' ~> 'b', 'x')» & 'c'", "('a' ~> 'b') & 'c'"),
)
def test_the_name_of_a_step_is_removed(before: str, after: str) -> None:
    check(before, after, edits.set_name, None)


@examples(
    # Every way to quote the text that reads the name:
    ("«'a'» |=> 'x' ~> 'SELECT $x, $x.c?, $xy, $x.*'", "'a' |=> 'new' ~> 'SELECT $new, $new.c?, $xy, $new.*'"),
    ("«'a'» |=> 'x' ~> 'SELECT ''$x'''", "'a' |=> 'new' ~> 'SELECT ''$new'''"),
    (r"«'a'» |=> E'x' ~> E'\'\u0024x\n$x'", r"'a' |=> E'new' ~> E'\'\u0024new\n$new'"),
    ("«'a'» |=> $$x$$ ~> $$SELECT $x$$", "'a' |=> $$new$$ ~> $$SELECT $new$$"),
    ("«'a'» |=> 'x' ~> 'SELECT '\n   '$x'", "'a' |=> 'new' ~> 'SELECT '\n   '$new'"),
    ("«'a'» |=> 'x' ~> ('SELECT ' || '$x')", "'a' |=> 'new' ~> ('SELECT ' || '$new')"),
    ("«'a'» |=> 'x' ~> format('SELECT %s', '$x')", "'a' |=> 'new' ~> format('SELECT %s', '$new')"),
    # Every argument that may read it:
    (
        """«'a'» |=> 'x' ~> df.http('https://x/$x', body => '{"\\"": "$x"}', headers => '{"k": "\\"$x"}')""",
        """'a' |=> 'new' ~> df.http('https://x/$new', body => '{"\\"": "$new"}', headers => '{"k": "\\"$new"}')""",
    ),
    (
        "«'a'» |=> 'x' ~> df.if_rows('x', 'SELECT $x', 'b')",
        "'a' |=> 'new' ~> df.if_rows('new', 'SELECT $new', 'b')",
    ),
    ("«'a'» |=> 'x' ~> df.await_instance('$x.id')", "'a' |=> 'new' ~> df.await_instance('$new.id')"),
    ("@> («'a'» |=> 'x' ~> df.break('$x'))", "@> ('a' |=> 'new' ~> df.break('$new'))"),
    ("«'a'» |=> 'x' ~> ('SELECT $x' ?> 'b' !> 'c')", "'a' |=> 'new' ~> ('SELECT $new' ?> 'b' !> 'c')"),
    # Every way to bind it:
    ("«'a'» |=> 'x' ~> ('b' |=> 'x') ~> 'SELECT $x'", "'a' |=> 'new' ~> ('b' |=> 'new') ~> 'SELECT $new'"),
    ("df.as(«'a'», 'x') ~> 'SELECT $x'", "df.as('a', 'new') ~> 'SELECT $new'"),
    # A child has names of its own; its label and its database are computed by the parent:
    (
        "«'a'» |=> 'x' ~> df.call_child('c' |=> 'x' ~> 'SELECT $x', '$x')",
        "'a' |=> 'new' ~> df.call_child('c' |=> 'x' ~> 'SELECT $x', '$new')",
    ),
    (
        """«'a'» |=> 'x' ~> df.call_child('c', options => '{"database": "$x"}')""",
        """'a' |=> 'new' ~> df.call_child('c', options => '{"database": "$new"}')""",
    ),
    # The known parts of an expression that only the database can evaluate:
    (
        "«'a'» |=> 'x' ~> format('SELECT $x, %s', :v) ~> df.seq('SELECT $x', :w)",
        "'a' |=> 'new' ~> format('SELECT $new, %s', :v) ~> df.seq('SELECT $new', :w)",
    ),
)
def test_a_name_is_changed_wherever_it_is_read(before: str, after: str) -> None:
    assert edited(before, edits.rename, "new") == after


# Comments and lines

CHAIN = """\
-- head
SELECT df.start(
    'a' |=> 'x' -- about a
    -- above b
    ~> 'b' -- about b
    ~> ('c' & 'd'), -- about c and d
    'label'
);
"""


@pytest.fixture(params=["\n", "\r\n"], ids=["unix", "windows"])
def newline(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def check_chain(newline: str, step: str, edit: Callable[..., Edits], *arguments: object, turns: str, into: str) -> None:
    """Editing `step` of CHAIN turns one part of the text into another and leaves every other byte."""
    before, part, after = (text.replace("\n", newline) for text in (CHAIN, turns, into))
    assert before.count(part) == 1
    assert edited(before.replace(step, f"«{step}»"), edit, *arguments) == before.replace(part, after)


def test_a_step_after_the_first_gets_a_line_below_its_comment(newline: str) -> None:
    check_chain(
        newline, "'a'", edits.insert_after, NEW,
        turns="-- about a\n",
        into="-- about a\n    ~> 'new'\n",
    )  # fmt: skip


def test_a_step_after_one_in_the_middle_gets_a_line_below_its_comment(newline: str) -> None:
    check_chain(
        newline, "'b'", edits.insert_after, NEW,
        turns="-- about b\n",
        into="-- about b\n    ~> 'new'\n",
    )  # fmt: skip


def test_a_step_after_the_last_gets_a_line(newline: str) -> None:
    check_chain(
        newline, "'c' & 'd'", edits.insert_after, NEW,
        turns="('c' & 'd')",
        into="('c' & 'd')\n    ~> 'new'",
    )  # fmt: skip


def test_a_step_before_another_gets_a_line_below_the_comment_above(newline: str) -> None:
    check_chain(
        newline, "'b'", edits.insert_before, NEW,
        turns="    ~> 'b'",
        into="    ~> 'new'\n    ~> 'b'",
    )  # fmt: skip


def test_a_step_before_the_first_gets_the_first_line(newline: str) -> None:
    check_chain(
        newline, "'a'", edits.insert_before, NEW,
        turns="'a' |=> 'x'",
        into="'new'\n    ~> ('a' |=> 'x')",
    )  # fmt: skip


def test_a_deleted_step_takes_its_line_and_the_comment_in_it(newline: str) -> None:
    check_chain(
        newline, "'b'", edits.delete,
        turns="    ~> 'b' -- about b\n",
        into="",
    )  # fmt: skip


def test_a_deleted_first_step_leaves_the_comment_of_the_next(newline: str) -> None:
    check_chain(
        newline, "'a'", edits.delete,
        turns="'a' |=> 'x' -- about a\n    -- above b\n    ~> ",
        into="-- above b\n    ",
    )  # fmt: skip


def test_a_deleted_last_step_leaves_the_comma(newline: str) -> None:
    check_chain(
        newline, "'c' & 'd'", edits.delete,
        turns="    ~> ('c' & 'd'), --",
        into="    , --",
    )  # fmt: skip


def test_a_wrapped_step_stays_in_its_line(newline: str) -> None:
    check_chain(
        newline, "'b'", edits.wrap_in_loop,
        turns="'b'",
        into="(@> 'b')",
    )  # fmt: skip


# Arguments


@pytest.mark.parametrize(
    ("before", "parameter", "value", "after"),
    [
        # A value is replaced where it is.
        ("df.sleep(60)", "seconds", 90, "df.sleep(90)"),
        ("df.sleep(60 * 60)", "seconds", 90, "df.sleep(90)"),
        ("df.sleep(60) |=> 'x'", "seconds", 90, "df.sleep(90) |=> 'x'"),
        ("df.as((df.sleep(60)), 'x')", "seconds", 90, "df.as((df.sleep(90)), 'x')"),
        ("df.http('https://x.y', 'GET')", "method", "put", "df.http('https://x.y', 'put')"),
        (
            "df.wait_for_signal(timeout_seconds => 5, name => 'go')", "name", "stop",
            "df.wait_for_signal(timeout_seconds => 5, name => 'stop')",
        ),
        # A text is quoted, and never taken for the JSON of a step.
        ("'SELECT 1'", "query", "SELECT 'x'", "$$SELECT 'x'$$"),
        ("df.sql('SELECT 1')", "query", "SELECT 2", "df.sql('SELECT 2')"),
        (
            "'SELECT 1'", "query", '{"node_type":"SQL","query":"a"}',
            """df.sql('{"node_type":"SQL","query":"a"}')""",
        ),
        # A new argument goes by position if it is the next one, by name otherwise.
        ("df.break()", "value", "done", "df.break('done')"),
        ("df.wait_for_signal('go')", "timeout_seconds", 5, "df.wait_for_signal('go', 5)"),
        ("df.http('https://x.y')", "timeout_seconds", 5, "df.http('https://x.y', timeout_seconds => 5)"),
        ("df.http(\n    'https://x.y'\n)", "method", "GET", "df.http(\n    'https://x.y',\n    'GET'\n)"),
        (
            "df.http('https://x.y')", "headers", '{"b": 1, "a": 2}',
            """df.http('https://x.y', headers => '{"b": 1, "a": 2}')""",
        ),
        # None and the default remove it, unless others follow by position.
        ("df.wait_for_signal('go', 5)", "timeout_seconds", None, "df.wait_for_signal('go')"),
        ("df.http('https://x.y', timeout_seconds => 5)", "timeout_seconds", 30, "df.http('https://x.y')"),
        ("df.http('https://x.y', 'GET', 'b')", "method", None, "df.http('https://x.y', 'POST', 'b')"),
        ("df.http('https://x.y', 'GET', 'b', '{}')", "body", None, "df.http('https://x.y', 'GET', NULL, '{}')"),
        ("df.call_child('a', 'l', '{}')", "label", None, "df.call_child('a', NULL, '{}')"),
    ],
)  # fmt: skip
def test_an_argument_gets_another_value(before: str, parameter: str, value: str | int | None, after: str) -> None:
    assert edited(f"«{before}»", edits.set_argument, parameter, value) == after


@pytest.mark.parametrize("text", ["df.sleep(1) ~> 'a'", "df.sleep(1) & df.sleep(2)", "(df.sleep(1)) ~> df.sleep(2)"])
def test_what_only_begins_with_a_call_has_no_arguments(text: str) -> None:
    with pytest.raises(EditError, match="has no argument"):
        edited(f"«{text}»", edits.set_argument, "seconds", 5)


@pytest.mark.parametrize(
    ("before", "option", "value", "after"),
    [
        (
            """df.call_child('a', 'l', '{ "timeout_seconds":300 }')""", "timeout_seconds", 60,
            """df.call_child('a', 'l', '{ "timeout_seconds":60 }')""",
        ),
        (
            "df.call_child('a', options => jsonb_build_object('timeout_seconds', 300))", "timeout_seconds", 60,
            "df.call_child('a', options => jsonb_build_object('timeout_seconds', 60))",
        ),
        (
            "df.call_child('a')", "timeout_seconds", 60,
            """df.call_child('a', options => '{"timeout_seconds": 60}')""",
        ),
        (
            """df.call_child('a', 'l', '{"timeout_seconds": 300}')""", "database", "it's",
            """df.call_child('a', 'l', $${"timeout_seconds": 300, "database": "it's"}$$)""",
        ),
        (
            """df.call_child('a', 'l', '{"timeout_seconds": 300, "database": "d"}')""", "timeout_seconds", None,
            """df.call_child('a', 'l', '{"database": "d"}')""",
        ),
        (
            """df.call_child('a', 'l', '{"database": "d"}')""", "database", None,
            "df.call_child('a', 'l')",
        ),
        (
            """df.call_child('a', 'l', '{"database": "d", "database": "e"}')""", "database", "f",
            """df.call_child('a', 'l', '{"database": "f"}')""",
        ),
    ],
)  # fmt: skip
def test_an_option_of_a_child_gets_another_value(before: str, option: str, value: object, after: str) -> None:
    assert edited(f"«{before}»", edits.set_option, option, value) == after


# Refusals


def refusal(marked: str, edit: Callable[..., Edits], *arguments: object) -> str:
    with pytest.raises(EditError) as refused:
        edited(marked, edit, *arguments)
    return str(refused.value)


def test_the_whole_workflow_cannot_be_deleted() -> None:
    assert "whole workflow" in refusal("«'a'»", edits.delete)


def test_a_branch_of_an_if_cannot_be_deleted() -> None:
    assert "A branch must do something" in refusal("'c' ?> «'t'» !> 'e'", edits.delete)


def test_the_body_of_a_loop_cannot_be_deleted() -> None:
    assert "Nothing would be left" in refusal("@> «'a'»", edits.delete)


@pytest.mark.parametrize(
    ("call", "parameter", "value", "reason"),
    [
        ("df.sleep(5)", "minutes", 5, "no argument `minutes`"),
        ("df.loop('a', 'b')", "body", "x", "no argument `body`"),
        ("df.sleep(5)", "seconds", "x", "must be a whole number"),
        ("df.http('https://x')", "headers", "{", "must be JSON"),
        ("df.sleep(5)", "seconds", -5, "would be refused: Sleep duration must be non-negative"),
        ("df.sleep(5)", "seconds", None, "needs its `seconds`"),
    ],
)
def test_an_argument_that_the_call_cannot_have_is_refused(
    call: str, parameter: str, value: str | int | None, reason: str
) -> None:
    assert reason in refusal(f"«{call}»", edits.set_argument, parameter, value)


def test_only_a_child_has_options() -> None:
    assert "Only df.call_child" in refusal("«df.sleep(5)»", edits.set_option, "database", "d")


def test_a_name_must_be_an_identifier() -> None:
    assert "not a valid identifier" in refusal("«'a'»", edits.set_name, "not a name")
    assert "not a valid identifier" in refusal("«'a'» |=> 'x'", edits.rename, "1")


def test_a_step_without_a_name_cannot_be_renamed() -> None:
    assert "has no name" in refusal("«'a'»", edits.rename, "x")


@pytest.mark.parametrize("program", ["«'a'» |=> 'x' ~> ('b' |=> 'y')", "«'a'» |=> 'x' ~> 'SELECT $y'"])
def test_a_name_that_is_bound_or_read_elsewhere_is_refused(program: str) -> None:
    assert "`y` already means" in refusal(program, edits.rename, "y")


def test_a_name_in_a_computed_text_cannot_be_renamed() -> None:
    assert "computed" in refusal("«'a'» |=> 'x' ~> repeat('$x ', 2)", edits.rename, "y")


def test_a_step_inside_of_json_cannot_be_edited() -> None:
    a, b = '{"node_type":"SQL","query":"a"}', '{"node_type":"SQL","query":"b"}'
    program = f"""'{{"node_type":"THEN","left_node":«{a}»,"right_node":{b}}}'"""
    assert "part of Durofut JSON" in refusal(program, edits.wrap_in_loop)


def test_a_program_does_not_grow_deeper_than_256_levels() -> None:
    assert "256 levels" in refusal("df.loop(" * 256 + "«'a'»" + ")" * 256, edits.wrap_in_loop)


# Steps in other texts: JSON, what only the database knows, SQL, quotes


def test_a_step_written_as_json_is_edited_as_a_whole() -> None:
    literal = """'{"node_type":"«SLEEP»","query":"5"}'"""
    plain = literal.replace("«", "").replace("»", "")
    assert edited(f"{literal} & 'b'", edits.wrap_in_loop) == f"(@> {plain}) & 'b'"
    assert edited(f"{literal} & 'b'", edits.replace_step, NEW) == "'new' & 'b'"
    assert edited(f"{literal} & 'b'", edits.delete) == "'b'"


@pytest.mark.parametrize(
    ("before", "edit", "after"),
    [
        (
            "df.if_rows(:'name', 'a', «'b'» ~> 'c') ~> 'd'", edits.wrap_in_loop,
            "df.if_rows(:'name', 'a', (@> 'b') ~> 'c') ~> 'd'",
        ),
        ("«df.if_rows(:'name'», 'a', 'b' ~> 'c') ~> 'd'", edits.delete, "'d'"),
        ("(«:x» || 'a') |=> 'x' ~> 'b'", edits.wrap_in_loop, "(@> ((:x || 'a') |=> 'x')) ~> 'b'"),
    ],
)  # fmt: skip
def test_an_expression_that_only_the_database_can_evaluate_is_kept_around_an_edit(
    before: str, edit: Callable[..., Edits], after: str
) -> None:
    assert edited(before, edit) == after


def test_a_workflow_inside_of_sql_is_edited_in_place() -> None:
    before = (
        "DO $$ BEGIN\n    PERFORM df.start('a' ~> 'b', 'l'); UPDATE  t SET a=1; END $$;\n"
        "SELECT df.start(«'c'»), 1|2;"
    )  # fmt: skip
    assert edited(before, edits.wrap_in_loop, file="x.sql") == (
        "DO $$ BEGIN\n    PERFORM df.start('a' ~> 'b', 'l'); UPDATE  t SET a=1; END $$;\n"
        "SELECT df.start(@> 'c'), 1|2;"
    )  # fmt: skip


def test_a_new_step_does_not_end_the_dollar_quotes_around_it() -> None:
    """Written alone, it's would become $$it's$$."""
    before = "DO $$ BEGIN PERFORM df.start('a' ~> «'b'», 'l'); END $$;"
    after = "DO $$ BEGIN PERFORM df.start('a' ~> 'b' ~> 'it''s', 'l'); END $$;"
    assert edited(before, edits.insert_after, ast.sql("it's"), file="x.sql") == after


def test_a_workflow_inside_of_quotes_is_edited_through_them() -> None:
    before = "CREATE FUNCTION f() RETURNS text LANGUAGE sql AS 'SELECT df.start(''a'' ~> '«'b»'')';"
    assert edited(before, edits.insert_after, ast.sql("it's"), file="x.sql") == (
        "CREATE FUNCTION f() RETURNS text LANGUAGE sql AS 'SELECT df.start(''a'' ~> ''b'' ~> ''it''''s'')';"
    )
    assert edited(before, edits.delete, file="x.sql") == (
        "CREATE FUNCTION f() RETURNS text LANGUAGE sql AS 'SELECT df.start(''a'')';"
    )


# Edits and places themselves


def test_edits_must_not_overlap() -> None:
    first, second = Edit(Span(0, 2), "x"), Edit(Span(1, 3), "y")
    assert apply("abcd", [Edit(Span(2, 4), "y"), first]) == "xy"
    with pytest.raises(ValueError, match="overlap"):
        apply("abcd", [first, second])


def test_a_step_is_found_by_its_place() -> None:
    text = "'a' ~> ('b' & 'c'); 'd'"
    found = module(text)
    assert [place.outer.of(text) for place in places(found)] == [
        "'a' ~> ('b' & 'c')",
        "'a'",
        "('b' & 'c')",
        "'b'",
        "'c'",
        "'d'",
    ]
    assert [place_of(found, place.node) == place for place in places(found)] == [True] * 6
    assert [step_place(found, place.index, place.path) == place for place in places(found)] == [True] * 6
    at = place_at(found, text.index("c"))
    assert at is not None
    assert at.path == (1, 1)
    assert place_at(found, text.index(";")) is None
    with pytest.raises(LookupError):
        place_of(found, NEW)
