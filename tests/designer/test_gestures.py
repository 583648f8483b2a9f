"""Pointing writes text: a gesture does what it says, to a program that still parses, and leaves the rest alone."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from support.layouts import scattered
from support.pace import examples
from support.programs import definitions

from pgweave.designer.block_palette import PALETTE
from pgweave.designer.document import applied, sections
from pgweave.designer.drawing import draw, draw_source, walk
from pgweave.designer.gestures import GESTURES, WRAPPERS, perform
from pgweave.grammar import nodes
from pgweave.grammar.editing.edits import EditError, apply
from pgweave.grammar.editing.places import places
from pgweave.grammar.parser import parse
from pgweave.grammar.span import Source
from pgweave.grammar.writing.formatter import format_source
from pgweave.grammar.writing.printer import print_definition, print_node

TESTS = Path(__file__).parents[1]

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pgweave.designer.gestures import Changed
    from pgweave.designer.protocol import Block, Sections
    from pgweave.grammar.nodes import Definition
    from pgweave.grammar.parser import Parsed


def after(before: str, gesture: str, target: str, file: str = "x.df", /, **arguments: object) -> str:
    """The text after a gesture."""
    return apply(before, gestured(before, gesture, target, file, **arguments).edits)


def gestured(before: str, gesture: str, target: str, file: str = "x.df", /, **arguments: object) -> Changed:
    return perform(parse(Source(file, before)).module, gesture, target, arguments)


START = "SELECT df.start(\n    {},\n    'x'\n);\n"
CHAIN = "SELECT df.start(\n    'a' |=> 'one' -- first\n    ~> 'b'\n    -- about c\n    ~> 'c',\n    'x'\n);\n"

# Gesture, target, its arguments, the text before and after.
SIMPLE: dict[str, tuple[str, str, dict[str, object], str, str]] = {
    "insert after": ("insert_after", "0:0", {"entry": "sleep"}, "'a' ~> 'b'", "'a' ~> df.sleep(60) ~> 'b'"),
    "insert before": ("insert_before", "0:1", {"entry": "signal"}, "'a' ~> 'b'", "'a' ~> df.wait_for_signal('approved') ~> 'b'"),
    "insert at the end of a body": ("insert_into", "0:", {"role": "body", "entry": "sleep"}, "@> 'a'", "@> ('a' ~> df.sleep(60))"),
    "insert at the end of an arm": ("insert_into", "0:", {"role": "else", "entry": "sleep"}, "'c' ?> 'a' !> 'b'", "'c' ?> 'a' !> ('b' ~> df.sleep(60))"),
    "insert at the end of a child": ("insert_into", "0:", {"role": "child", "entry": "sleep"}, "df.call_child('a', 'l')", "df.call_child('a' ~> df.sleep(60), 'l')"),
    "insert into a sequence": ("insert_into", "0:", {"role": "step", "entry": "sleep"}, "'a' ~> 'b'", "'a' ~> 'b' ~> df.sleep(60)"),
    "give a loop its condition": ("insert_into", "0:", {"role": "condition", "entry": "sql"}, "@> ('a' -- why\n ~> $$b$$)", "df.loop(('a' -- why\n ~> $$b$$), 'SELECT 1')"),
    "another step": ("replace", "0:0", {"entry": "sleep"}, "'a' |=> 'n' ~> 'b'", "df.sleep(60) |=> 'n' ~> 'b'"),
    "a branch more": ("add_branch", "0:", {"entry": "sleep"}, "'a' & 'b'", "'a' & 'b' & df.sleep(60)"),
    "a branch more of three": ("add_branch", "0:", {"entry": "sleep"}, "df.join3('a', 'b', 'c')", "df.join3('a', 'b', 'c') & df.sleep(60)"),
    "a branch more beside a name": ("add_branch", "0:", {"entry": "sleep"}, "('a' & 'b') |=> 'n'", "('a' & 'b' & df.sleep(60)) |=> 'n'"),
    "a runner more": ("add_branch", "0:", {"entry": "sleep"}, "'a' | 'b'", "'a' | 'b' | df.sleep(60)"),
    "move down": ("move", "0:0.0", {"to": "0:1", "where": "after"}, "'a' ~> 'b' ~> 'c'", "'b' ~> 'c' ~> 'a'"),
    "move up": ("move", "0:1", {"to": "0:0.0", "where": "before"}, "'a' ~> 'b' ~> 'c'", "'c' ~> 'a' ~> 'b'"),
    "move into a branch": ("move", "0:1", {"to": "0:0.1", "where": "after"}, "('a' & 'b') ~> $$c$$", "('a' & ('b' ~> $$c$$))"),
    "move what has a name": ("move", "0:0.0", {"to": "0:1", "where": "after"}, "'a' |=> 'n' ~> 'b' ~> 'c'", "'b' ~> 'c' ~> ('a' |=> 'n')"),
    "duplicate as it is written": ("duplicate", "0:0", {}, "($$a$$ & E'b') |=> 'n' ~> 'c'", "($$a$$ & E'b') |=> 'n' ~> ($$a$$ & E'b') ~> 'c'"),
    "delete": ("delete", "0:0.1", {}, "'a' ~> 'b' ~> 'c'", "'a' ~> 'c'"),
    "wrap in an if": ("wrap", "0:1", {"with": "if"}, "'a' ~> 'b'", "'a' ~> ('SELECT true' ?> 'b' !> $$SELECT 'otherwise'$$)"),
    "wrap in a loop": ("wrap", "0:", {"with": "loop"}, "'a' ~> 'b'", "@> ('a' ~> 'b')"),
    "wrap in a while": ("wrap", "0:1", {"with": "while"}, "'a' ~> 'b'", "'a' ~> df.loop('b', 'SELECT false')"),
    "wrap in parallel": ("wrap", "0:1", {"with": "parallel"}, "'a' ~> 'b'", "'a' ~> ('b' & 'SELECT 1')"),
    "wrap in a race": ("wrap", "0:1", {"with": "race"}, "'a' ~> 'b'", "'a' ~> ('b' | df.wait_for_signal('stop'))"),
    "wrap in a timeout": ("wrap", "0:1", {"with": "timeout"}, "'a' ~> 'b'", "'a' ~> ('b' | df.sleep(60))"),
    "wrap in a child": ("wrap", "0:0", {"with": "child"}, "'a' |=> 'n' ~> 'b'", "df.call_child('a' |=> 'n', 'n') ~> 'b'"),
    "unwrap": ("unwrap", "0:", {}, "@> ('a' ~> 'b')", "('a' ~> 'b')"),
    "unwrap an arm": ("unwrap", "0:", {"role": "else"}, "'c' ?> 'a' !> 'b'", "'b'"),
    "unwrap the branch that is meant": ("unwrap", "0:", {"role": "branch", "to": "0:0.1"}, "'a' & 'b' & 'c'", "'b'"),
    "another statement": ("set_sql", "0:0", {"text": "it's"}, "'a' ~> $$b$$", "$$it's$$ ~> $$b$$"),
    "another statement in doubled quotes": ("set_sql", "0:0", {"text": "it's"}, "'a''' ~> 'b'", "'it''s' ~> 'b'"),
    "another statement in dollars": ("set_sql", "0:1", {"text": "it's"}, "'a' ~> $q$b$q$", "'a' ~> $q$it's$q$"),
    "a statement that ends its quotes": ("set_sql", "0:1", {"text": "$$ it's"}, "'a' ~> $$b$$", "'a' ~> $q1$$$ it's$q1$"),
    "a field": ("set_field", "0:", {"field": "seconds", "value": 5}, "df.sleep(60)", "df.sleep(5)"),
    "an option": ("set_field", "0:", {"field": "timeout_seconds", "value": 5}, "df.call_child('a')", """df.call_child('a', options => '{"timeout_seconds": 5}')"""),
    "no label": ("set_field", "0:", {"field": "label", "value": ""}, "df.call_child('a', 'l')", "df.call_child('a')"),
    "a name": ("set_name", "0:1", {"name": "n"}, "'a' ~> 'b'", "'a' ~> ('b' |=> 'n')"),
    "no name": ("set_name", "0:0", {"name": None}, "'a' |=> 'n' ~> 'b'", "'a' ~> 'b'"),
    "another name everywhere": ("rename", "0:0", {"name": "m"}, "'a' |=> 'n' ~> 'SELECT $n'", "'a' |=> 'm' ~> 'SELECT $m'"),
}  # fmt: skip


@pytest.mark.parametrize(("gesture", "target", "arguments", "before", "expected"), SIMPLE.values(), ids=SIMPLE.keys())
def test_a_gesture_writes_what_a_person_would(
    gesture: str, target: str, arguments: dict[str, object], before: str, expected: str
) -> None:
    assert after(START.format(before), gesture, target, **arguments) == START.format(expected)


def test_a_step_takes_its_comments_along() -> None:
    moved = after(CHAIN, "move", "0:1", to="0:0.0", where="before")
    assert [step.node.query.value for step in places(parse(Source("x.df", moved)).module) if isinstance(step.node, nodes.Sql)] == ["c", "a", "b"]  # fmt: skip
    assert moved.count("-- about c") == 1
    assert moved.index("-- about c") < moved.index("'c'") < moved.index("'a'")
    assert "'a' |=> 'one'" in moved


def test_the_new_step_is_where_the_selection_goes() -> None:
    text = START.format("'a' ~> 'b'")
    changed = gestured(text, "insert_after", "0:0", entry="sleep")
    new = apply(text, changed.edits)
    assert changed.select == new.index("df.sleep")
    assert changed.block == "0:0.1"
    moved = gestured(text, "move", "0:0", to="0:1", where="after")
    assert moved.select == apply(text, moved.edits).index("'a'")
    assert gestured(text, "set_sql", "0:1", text="longer").select == text.index("'b'")
    assert gestured(text, "wrap", "0:1", **{"with": "loop"}).block == "0:1"


def test_the_first_step_of_an_empty_text_makes_a_workflow() -> None:
    assert after("", "insert_after", "", "nightly.df", entry="sql") == "SELECT df.start('SELECT 1', 'nightly');\n"
    assert after("-- about it\n", "insert_into", "", "a b.df", entry="sql") == (
        "-- about it\nSELECT df.start('SELECT 1', 'a-b');\n"
    )
    assert after("CREATE TABLE t ();\n", "insert_after", "", "x.sql", entry="sql") == (
        "CREATE TABLE t ();\nSELECT df.start('SELECT 1', 'x');\n"
    )
    markdown = after("# Jobs\n", "insert_after", "", "x.md", entry="sql")
    assert markdown == "# Jobs\n\n```sql\nSELECT df.start('SELECT 1', 'x');\n```\n"
    assert len(parse(Source("x.md", markdown)).module.definitions) == 1


def test_a_second_workflow_gets_a_label_of_its_own() -> None:
    text = "SELECT df.start('a', 'x');\n"
    assert after(text, "insert_after", "", entry="sleep") == text + "\nSELECT df.start(df.sleep(60), 'x-2');\n"


def test_deleting_the_only_step_leaves_an_empty_program() -> None:
    text = "-- head\nSELECT df.start(\n    'a',\n    'x'\n);\n-- tail\n"
    assert after(text, "delete", "0:") == "-- head\n-- tail\n"
    assert after("'a'", "delete", "0:") == ""
    assert after("'a';\n'b';\n", "delete", "1:") == "'a';\n"
    assert after("SELECT df.start('a'), df.start('b') AS x;", "delete", "0:") == "SELECT  df.start('b') AS x;"
    assert after("'a';\nSELECT * FROM df.start('b') AS id;\n'c'", "delete", "1:") == "'a';\n'c'"
    assert after("CREATE TABLE t ();\nSELECT df.start('a');\n", "delete", "0:", "x.sql") == "CREATE TABLE t ();\n"


LABELS = {
    "another": ("SELECT df.start('a', 'x');", "y", "SELECT df.start('a', 'y');"),
    "with a quote": ("SELECT df.start('a', 'x');", "it's", "SELECT df.start('a', $$it's$$);"),
    "a first": ("SELECT df.start('a');", "y", "SELECT df.start('a', 'y');"),
    "a first beside a database": (
        "SELECT df.start('a', database => 'd');", "y", "SELECT df.start('a', 'y', database => 'd');"
    ),
    "of a bare expression": ("'a' ~> 'b';", "y", "SELECT df.start('a' ~> 'b', 'y');"),
    "none": ("SELECT df.start('a', 'x');", None, "SELECT df.start('a');"),
    "none by name": ("SELECT df.start('a', label => 'x');", None, "SELECT df.start('a');"),
    "none before a database": ("SELECT df.start('a', 'x', 'd');", None, "SELECT df.start('a', NULL, 'd');"),
}  # fmt: skip


@pytest.mark.parametrize(("text", "label", "expected"), LABELS.values(), ids=LABELS.keys())
def test_a_workflow_gets_another_label(text: str, label: str | None, expected: str) -> None:
    assert after(text, "set_label", "0:", label=label) == expected


def test_every_choice_of_a_form_can_be_chosen() -> None:
    for entry in ("http", "http_multipart", "child"):
        text = after("", "insert_after", "", entry=entry)
        [block] = [block for block in walk_all(text) if block["fields"]]
        for field in block["fields"]:
            for choice in field.get("choices", ()):
                changed = after(text, "set_field", "0:", field=field["name"], value=choice)
                [again] = [block for block in walk_all(changed) if block["fields"]]
                assert {found["name"]: found["value"] for found in again["fields"]}[field["name"]] == choice


REFUSED: dict[str, tuple[str, str, str, dict[str, object], str]] = {
    "a block that is not there": ("'a'", "delete", "0:7", {}, "not there any more"),
    "an id that is none": ("'a'", "delete", "what", {}, "not there any more"),
    "a gesture that is none": ("'a'", "dance", "0:", {}, "no gesture `dance`"),
    "an entry that is none": ("'a'", "insert_after", "0:", {"entry": "x"}, "palette has no `x`"),
    "into itself": ("'a' ~> @> 'b'", "move", "0:1", {"to": "0:1.0", "where": "after"}, "into itself"),
    "all that a loop does": ("@> 'b'", "delete", "0:0", {}, "Nothing would be left"),
    "an arm": ("'c' ?> 'a' !> 'b'", "delete", "0:1", {}, "A branch must do something"),
    "steps of a sequence": ("'a' ~> 'b'", "unwrap", "0:", {}, "nothing around the steps"),
    "what holds nothing": ("'a'", "unwrap", "0:", {}, "holds no others"),
    "a name that is none": ("'a'", "set_name", "0:", {"name": "1 2"}, "not a valid identifier"),
    "a name that is taken": ("'a' |=> 'x' ~> ('b' |=> 'y')", "rename", "0:0", {"name": "y"}, "already means"),
    "a schedule that is none": (
        "df.wait_for_schedule('0 6 * * *')", "set_field", "0:", {"field": "cron_expr", "value": "often"}, "5 fields",
    ),
    "seconds that are text": ("df.sleep(5)", "set_field", "0:", {"field": "seconds", "value": "x"}, "whole number"),
    "seconds before now": ("df.sleep(5)", "set_field", "0:", {"field": "seconds", "value": -1}, "negative"),
    "a signal without a name": (
        "df.wait_for_signal('go')", "set_field", "0:", {"field": "name", "value": ""}, "needed here",
    ),
    "a field that is none": ("df.sleep(5)", "set_field", "0:", {"field": "minutes", "value": 1}, "no `minutes`"),
    "headers that are no JSON": (
        "df.http('https://x.y')", "set_field", "0:", {"field": "headers", "value": "{"}, "must be JSON",
    ),
    "a branch of one": ("'a'", "add_branch", "0:", {"entry": "sql"}, "side by side"),
    "SQL of a pause": ("df.sleep(5)", "set_sql", "0:", {"text": "x"}, "Only a step of SQL"),
    "a step inside of JSON": (
        """'{"node_type":"THEN","left_node":{"node_type":"SQL","query":"a"},"right_node":{"node_type":"SQL","query":"b"}}'""",
        "wrap", "0:0", {"with": "loop"}, "JSON",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("text", "gesture", "target", "arguments", "reason"), REFUSED.values(), ids=REFUSED.keys())
def test_what_cannot_be_done_is_refused_in_words(
    text: str, gesture: str, target: str, arguments: dict[str, object], reason: str
) -> None:
    with pytest.raises(EditError, match=reason):
        gestured(text, gesture, target, **arguments)


def test_the_program_of_the_readme_is_built_by_pointing_alone() -> None:
    """What the browser test does with a mouse: the text ends up as the formatter would write it."""
    text = after("", "insert_after", "", "parent_child.df", entry="child")
    for gesture, target, arguments in (
        ("set_field", "0:", {"field": "label", "value": "generate-report"}),
        ("set_field", "0:", {"field": "timeout_seconds", "value": 300}),
        ("set_sql", "0:0", {"text": " SELECT 42 AS report_id, 'ready' AS status "}),
        ("set_name", "0:", {"name": "child"}),
        ("insert_after", "0:", {"entry": "sql"}),
        ("set_sql", "0:1", {"text": "INSERT INTO audit_log (payload) VALUES ($child::jsonb) RETURNING payload"}),
        ("set_label", "0:", {"label": "parent-workflow"}),
    ):
        text = after(text, gesture, target, **arguments)
    example = Source("parent_child.df", (TESTS.parent / "examples" / "parent_child.df").read_text(encoding="utf-8"))
    bare = "".join(line for line in example.text.splitlines(keepends=True) if not line.startswith("--"))
    assert format_source(Source("parent_child.df", text)).text == format_source(Source("x.df", bare)).text


# Any gesture, on any block, of any program


def any_arguments(random: Random, block: Block, blocks: list[Block]) -> dict[str, Any]:
    arguments: dict[str, Any] = {
        "entry": random.choice(PALETTE)["id"],
        "to": random.choice(blocks)["id"],
        "where": random.choice(("before", "after")),
        "with": random.choice(list(WRAPPERS)),
        "role": random.choice(("then", "else", "body", "branch", "child", "condition", "step")),
        "text": random.choice(("SELECT 2", "it's $$", "a\nb", "")),
        "name": random.choice(("alpha", "zulu", None)),
        "label": random.choice((None, "x", "it's")),
    }
    if block["fields"]:
        field = random.choice(block["fields"])
        arguments["field"] = field["name"]
        arguments["value"] = random.choice((None, 5, "x", "", '{"a": 1}', "*/5 * * * *"))
    return arguments


def comments(parsed: Parsed) -> Counter[str]:
    return Counter(span.of(parsed.module.source.text) for span in parsed.comments)


def leaves(parsed: Parsed) -> Counter[str]:
    """What the steps without steps in them say, names aside."""
    found = [place.node for place in places(parsed.module) if not place.children]
    return Counter(print_node(replace(node, binding=None)) for node in found)


@settings(
    max_examples=examples(150), deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much]
)
@given(definitions(), st.integers(0, 2**32), st.sampled_from(GESTURES))
def test_any_gesture_on_any_block_leaves_a_program_that_parses(definition: Definition, seed: int, gesture: str) -> None:
    random = Random(seed)
    text = scattered(print_definition(definition), random).replace("\r\n", "\n")
    parsed = parse(Source("x.df", text))
    assume(parsed.module.definitions)
    program = draw(parsed, ())["programs"][0]
    assert program["root"] is not None
    blocks = list(walk(program["root"]))
    block = random.choice(blocks)
    arguments = any_arguments(random, block, blocks)
    if random.random() < 0.5:
        arguments["to"] = arguments["to"] if gesture == "move" else None
    try:
        changed = perform(parsed.module, gesture, block["id"], arguments)
    except EditError:
        return
    new = apply(text, changed.edits)
    then = parse(Source("x.df", new))
    assert then.ok >= parsed.ok
    check(gesture, arguments, parsed, then)
    assert text_again(text, new, changed) == text
    if changed.block is not None and then.module.definitions:
        assert changed.block in {found["id"] for found in walk_all(new)}


def check(gesture: str, arguments: Mapping[str, Any], before: Parsed, then: Parsed) -> None:
    """What each gesture promises beyond a program that parses."""
    count, was = (sum(1 for _ in places(parsed.module)) for parsed in (then, before))
    match gesture:
        case "move":
            assert leaves(then) == leaves(before)
            assert comments(then) == comments(before)
        case "insert_after" | "insert_before" | "wrap" | "duplicate":
            assert count > was
            assert not comments(before) - comments(then)
        case "set_sql" | "set_field" | "set_name" | "rename":
            assert count == was
        case "set_label":
            label = then.module.definitions[0].label
            assert (label.value if label else None) == arguments["label"]
        case "delete":
            assert count < was
        case _:
            pass


def text_again(text: str, new: str, changed: Changed) -> str:
    """The text after the change was made and undone as the browser does: by the inverse of the change set."""
    made = sections(text, changed.edits)
    assert applied(text, made) == new
    inverse: Sections = []
    at = 0
    before = text.encode("utf-16-le")
    for section in made:
        if isinstance(section, int):
            inverse.append(section)
            at += section
        else:
            old = before[2 * at : 2 * (at + section[0])].decode("utf-16-le")
            size = len("\n".join(section[1:]).encode("utf-16-le")) // 2
            inverse.append([size, *(old.split("\n") if old else [])])
            at += section[0]
    return applied(new, inverse)


def walk_all(text: str) -> list[Block]:
    found = draw_source(Source("x.df", text))["programs"]
    return [block for program in found if program["root"] for block in walk(program["root"])]
