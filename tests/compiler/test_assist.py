"""What editors ask: hover, completion, where a name comes from, renaming. `^` marks the cursor in the texts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.programs import definitions

from pgweave.compiler.assist import Assistant, CannotRename
from pgweave.compiler.checks.children import CHOICES
from pgweave.compiler.manual import MANUAL, OPERATORS, OPTIONS
from pgweave.grammar.editing.edits import apply
from pgweave.grammar.kinds import CALLS, CHILD_OPTIONS, EXPLAIN, SETVAR, START
from pgweave.grammar.parser import parse
from pgweave.grammar.span import Source
from pgweave.grammar.writing.printer import print_definition

if TYPE_CHECKING:
    from pgweave.grammar.nodes import Definition

ORDER = """df.start(
    ('SELECT 7 AS id, 2 AS total' |=> 'order')
    ~> (df.wait_for_signal('paid', 60) |=> 'payment')
    ~> 'UPDATE t SET a = $order.id, b = $payment.data WHERE c = $order'
    ~> df.if_rows('order', 'SELECT 1', 'SELECT 2'),
    'x');"""


def cursor(text: str) -> tuple[Assistant, int]:
    assert text.count("^") == 1, text
    return Assistant(Source("x.df", text.replace("^", ""))), text.index("^")


def at(text: str, fragment: str) -> tuple[Assistant, int]:
    """The cursor where the `^` in `fragment` stands."""
    return cursor(text.replace(fragment.replace("^", ""), fragment, 1))


def hovered(text: str, fragment: str) -> str:
    assistant, offset = at(text, fragment)
    hover = assistant.hover(offset)
    return "" if hover is None else hover.markdown


def completed(text: str) -> list[str]:
    assistant, offset = cursor(text)
    return [one.label for one in assistant.complete(offset)]


def test_a_reference_shows_the_step_that_made_it_and_its_columns() -> None:
    said = hovered(ORDER, "$or^der.id")
    assert "Line 2: SQL: SELECT 7 AS id, 2 AS total" in said
    assert "Columns: `id`, `total`" in said
    assert "Columns: `signal_name`, `timed_out`, `data`" in hovered(ORDER, "$pay^ment.data")


def test_a_binding_says_how_often_it_is_read() -> None:
    assert "Read in 3 places." in hovered(ORDER, "'or^der')\n    ~> (df.wait")


def test_a_name_that_nobody_binds_says_so() -> None:
    assert "no step binds this name" in hovered("'SELECT $no'", "$n^o")


@pytest.mark.parametrize(
    ("fragment", "said"),
    [
        ("df.wait_^for_signal", "df.wait_for_signal(name text, timeout_seconds integer DEFAULT NULL)"),
        ("^df.if_rows", "do"),
        ("~^> (df", "Runs one step, then the other"),
        ("|=^> 'pay", "Names the result of a step"),
    ],
)
def test_calls_and_operators_are_explained(fragment: str, said: str) -> None:
    assert said in hovered(ORDER, fragment)


def test_where_there_is_nothing_to_say_nothing_is_said() -> None:
    assert hovered(ORDER, "SEL^ECT 7") == ""
    assert Assistant(Source("x.df", "")).hover(0) is None


def test_every_call_operator_and_option_has_a_page() -> None:
    assert MANUAL.keys() == {*CALLS, START.name, SETVAR.name, EXPLAIN.name}
    assert {call.operator for call in CALLS.values() if call.operator} <= OPERATORS.keys()
    assert tuple(OPTIONS) == CHILD_OPTIONS
    assert {name: values for name, (_, values) in OPTIONS.items() if values} == CHOICES


@pytest.mark.parametrize("name", MANUAL)
def test_the_example_of_every_page_is_a_program(name: str) -> None:
    parsed = parse(Source("x.df", MANUAL[name].example))
    assert parsed.ok, parsed.diagnostics


def test_behind_a_dollar_stand_the_names_that_are_bound_before() -> None:
    assert completed("('SELECT 1 AS a' |=> 'one') ~> 'SELECT $^' ~> ('SELECT 2' |=> 'two')") == ["one"]
    assert completed("('SELECT 1 AS a' |=> 'one') ~> ('SELECT 2' |=> 'two') ~> 'SELECT $t^'") == ["one", "two"]


def test_a_child_sees_nothing_of_its_parent() -> None:
    assert completed("('SELECT 1' |=> 'p') ~> df.call_child(('SELECT 1' |=> 'c') ~> 'SELECT $^', 'x')") == ["c"]


def test_behind_a_name_and_a_dot_stand_its_columns() -> None:
    assert completed("('SELECT 1 AS a, 2 AS b' |=> 'one') ~> 'SELECT $one.^'") == ["a", "b", "*"]
    assert completed("(df.call_child('SELECT 1', 'c') |=> 'k') ~> 'SELECT $k.st^'")[:3] == [
        "instance_id", "status", "result",
    ]  # fmt: skip


def test_only_columns_that_every_path_gives_are_offered() -> None:
    text = "(('SELECT 1' ?> 'SELECT 1 AS a, 2 AS b' !> 'SELECT 3 AS b') |=> 'x') ~> 'SELECT $x.^'"
    assert completed(text) == ["b", "*"]


def test_a_text_that_cannot_be_read_yet_offers_all_its_names() -> None:
    assert completed("('SELECT 1' |=> 'one') ~> ~> 'SELECT $^'") == ["one"]


HALF = {
    "an open bracket": "df.start(\n    'SELECT 7 AS id, 2 AS total' |=> 'order'\n    ~> 'SELECT $order.^'\n",
    "an open quote": "df.start('SELECT 7 AS id, 2 AS total' |=> 'order' ~> 'SELECT $order.^",
    "an open dollar quote": "('SELECT 7 AS id, 2 AS total' |=> 'order') ~> ($q$SELECT $order.^",
    "a call without its end": "'SELECT 7 AS id, 2 AS total' |=> 'order' ~> df.loop('SELECT $order.^', df.",
    "a choice without its else": "'SELECT 7 AS id, 2 AS total' |=> 'order' ~> ('SELECT true' ?> 'SELECT $order.^'",
    "a slip further down": "'SELECT 7 AS id, 2 AS total' |=> 'order' ~> 'SELECT $order.^' ~> ~> 'SELECT 1'",
    "brackets in brackets": "df.start(@> ('SELECT 7 AS id, 2 AS total' |=> 'order' ~> (df.sleep(1) & 'SELECT $order.^'",
}


@pytest.mark.parametrize("what", HALF)
def test_columns_are_known_in_a_text_that_is_half_written(what: str) -> None:
    assert completed(HALF[what]) == ["id", "total", "*"]


def test_names_can_be_looked_up_in_a_text_that_is_half_written() -> None:
    text = HALF["a slip further down"].replace("^", "id")
    assert "Line 1: SQL: SELECT 7 AS id, 2 AS total" in hovered(text, "$or^der")
    assert hovered(text, "'or^der'") == "**order**: SQL: SELECT 7 AS id, 2 AS total\n\nColumns: `id`, `total`"
    assistant, offset = at(text, "$or^der")
    assert [span.of(assistant.source.text) for span in assistant.definition(offset)] == ["'order'"]
    with pytest.raises(CannotRename):  # what follows could hold the name, too
        assistant.rename(offset, "purchase")


def test_a_variable_says_what_it_was_set_to() -> None:
    text = "df.setvar('region', 'north');\n'SELECT ''{region}'', ''{nobody}'''"
    assert hovered(text, "{reg^ion}") == "**{region}**\n\nLine 1: `north`, put in as raw text"
    assert hovered(text, "{no^body}") == ""


def test_behind_a_brace_stand_the_variables() -> None:
    assert completed("df.setvar('region', 'eu'); df.start('SELECT {^}', 'x');") == ["region"]


def test_if_rows_asks_for_a_name() -> None:
    assert completed("('SELECT 1' |=> 'one') ~> df.if_rows('^', 'SELECT 1', 'SELECT 2')") == ["one"]


def test_calls_are_offered_with_and_without_their_schema() -> None:
    assert "df.sleep" in completed("'SELECT 1' ~> df.^")
    assistant, offset = cursor("'SELECT 1' ~> df.sl^")
    (sleep,) = [one for one in assistant.complete(offset) if one.label == "df.sleep"]
    assert sleep.span.of(assistant.source.text) == "df.sl"
    assert sleep.detail == "df.sleep(seconds bigint)"
    assert "df.sleep" in completed("'SELECT 1' ~> sle^")


def test_inside_a_call_its_arguments_are_offered() -> None:
    assert "timeout_seconds =>" in completed("df.wait_for_signal('go', ^)")
    assert "timeout_seconds =>" not in completed("df.sleep(^)")


def test_options_of_a_child_and_their_values() -> None:
    assert completed("""df.call_child('SELECT 1', 'c', '{"^"}')""") == list(CHILD_OPTIONS)
    assert completed("""df.call_child('SELECT 1', options => '{"time^"}')""") == list(CHILD_OPTIONS)
    assert completed("""df.call_child('SELECT 1', 'c', '{"on_cancel": "^"}')""") == ["leave", "cancel"]
    assert completed("""df.call_child('SELECT 1', '{"^"}')""") == [], "that is the label"


@pytest.mark.parametrize("text", ["^", "'SELECT 1'^", "'SEL^ECT 1'", "'a' ~> ^", "df.sleep(5)^ ~> 'a'"])
def test_completion_never_fails(text: str) -> None:
    assert all(label.startswith("df.") for label in completed(text))


def test_a_name_leads_to_where_it_is_bound() -> None:
    text = "('SELECT 1' ?> ('SELECT 1' |=> 'x') !> ('SELECT 2' |=> 'x')) ~> 'SELECT $^x'"
    assistant, offset = cursor(text)
    assert [span.of(assistant.source.text) for span in assistant.definition(offset)] == ["'x'", "'x'"]
    assistant, offset = cursor("'SELECT ^1'")
    assert assistant.definition(offset) == ()


def test_occurrences_are_all_places_of_a_name_in_one_instance() -> None:
    assistant, offset = at(ORDER, "$or^der.id")
    spans = assistant.occurrences(offset)
    assert [span.of(assistant.source.text) for span in spans] == ["order"] * 4
    text = "('SELECT 1' |=> '^x') ~> df.call_child(('SELECT 2' |=> 'x') ~> 'SELECT $x', 'c') ~> 'SELECT $x'"
    assistant, offset = cursor(text)
    assert len(assistant.occurrences(offset)) == 2


def renamed(text: str, name: str) -> str:
    assistant, offset = cursor(text)
    return apply(assistant.source.text, assistant.rename(offset, name))


def test_renaming_reaches_every_place_and_no_other() -> None:
    text = "('SELECT 1 AS x, ''x''' |=> '^x') ~> $q$ SELECT $x.x, 'Dear $x' $q$ ~> df.if_rows(E'x', 'SELECT 1', 'SELECT 2')"
    assert renamed(text, "y") == (
        "('SELECT 1 AS x, ''x''' |=> 'y') ~> $q$ SELECT $y.x, 'Dear $y' $q$ ~> df.if_rows(E'y', 'SELECT 1', 'SELECT 2')"
    )


@pytest.mark.parametrize(
    ("text", "name", "said"),
    [
        ("('SELECT 1' |=> '^x') ~> 'SELECT $x'", "1y", "1y"),
        ("('SELECT 1' |=> '^x') ~> ('SELECT $x' |=> 'y')", "y", "already means something"),
        ("'SELECT ^1'", "y", "There is no name here"),
        ("'SELECT $^x'", "y", "No step binds x"),
        ("('SELECT 1' |=> '^x') ~> df.sql('SELECT $' || chr(120))", "y", "computed"),
    ],
)
def test_a_name_that_cannot_be_changed_says_why(text: str, name: str, said: str) -> None:
    with pytest.raises(CannotRename, match=said):
        renamed(text, name)


@given(definitions(), st.data())
def test_renaming_changes_names_and_nothing_else(definition: Definition, data: st.DataObject) -> None:
    """Renamed and renamed back, a program is what it was."""
    text = print_definition(definition)
    found = Assistant(Source("x.df", text)).use_at(data.draw(st.integers(0, len(text))))
    if found is None:
        return
    name, start = found[1].name, found[1].span.start
    try:
        changed = apply(text, Assistant(Source("x.df", text)).rename(start, "brand_new"))
    except CannotRename:
        return
    assert parse(Source("x.df", changed)).ok
    assert changed != text
    first = Assistant(Source("x.df", text)).occurrences(start)[0].start
    assert apply(changed, Assistant(Source("x.df", changed)).rename(first, name)) == text


@given(st.text(st.sampled_from("'$~>|=&()., df.sleep{}\"x\n"), max_size=40), st.integers(0, 40))
def test_whatever_is_typed_there_is_an_answer(text: str, offset: int) -> None:
    assistant = Assistant(Source("x.df", text))
    offset = min(offset, len(text))
    assistant.complete(offset)
    assistant.hover(offset)
    assistant.definition(offset)
    assistant.symbols()


def test_the_outline_lists_workflows_and_named_steps() -> None:
    (one,) = Assistant(Source("x.df", ORDER)).symbols()
    assert (one.name, [child.name for child in one.children]) == ("x", ["order", "payment"])
