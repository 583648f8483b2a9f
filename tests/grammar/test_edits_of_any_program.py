"""Edits of random programs: an edit changes the tree as it says, and not a byte of the rest of the text."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from functools import partial
from random import Random
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from support import ast, texts
from support.layouts import expression, scattered
from support.pace import examples
from support.programs import programs

from pgweave.compiler.facts import reads
from pgweave.grammar import nodes
from pgweave.grammar.editing import edits, renaming
from pgweave.grammar.editing.edits import EditError, Place, apply, places
from pgweave.grammar.editing.places import with_child
from pgweave.grammar.nodes import children, same
from pgweave.grammar.parser import parse
from pgweave.grammar.span import Source
from pgweave.grammar.writing.formatter import format_source
from pgweave.grammar.writing.printer import print_node

if TYPE_CHECKING:
    from collections.abc import Callable

    from pgweave.grammar.editing.edits import Edits
    from pgweave.grammar.nodes import Definition, Node

Path = tuple[int, ...]

steps = programs(max_leaves=3)
layouts = st.sampled_from(("in a line", "laid out", "scattered"))


def laid_out(node: Node, layout: str, seed: int) -> str:
    text = f"SELECT df.start({print_node(node)}, 'label');"
    if layout == "laid out":
        return format_source(Source("x.df", text)).text
    return scattered(text, Random(seed)) if layout == "scattered" else text


# What a tree is after an edit, in as few words as possible


def get(root: Node, path: Path) -> Node:
    return root if not path else get(children(root)[path[0]], path[1:])


def put(root: Node, path: Path, new: Node) -> Node:
    return new if not path else with_child(root, path[0], put(children(root)[path[0]], path[1:], new))


def then(first: Node, second: Node) -> Node:
    return nodes.Then(first=first, second=second, span=first.span)


def is_last(root: Node, path: Path) -> bool:
    return bool(path) and path[-1] == 1 and isinstance(get(root, path[:-1]), nodes.Then)


def with_after(root: Node, path: Path, new: Node) -> Node:
    path = path[:-1] if is_last(root, path) else path
    return put(root, path, then(get(root, path), new))


def with_before(root: Node, path: Path, new: Node) -> Node:
    node = get(root, path)
    if isinstance(node, nodes.Then) and node.binding is None:
        return with_before(root, (*path, 0), new)
    if is_last(root, path):
        parent = get(root, path[:-1])
        assert isinstance(parent, nodes.Then)
        return put(root, path[:-1], replace(parent, first=then(parent.first, new)))
    return put(root, path, then(new, node))


def unwrapped(root: Node, path: Path, number: int) -> Node:
    """One child of a step in place of the step; a name of the step passes to a child without one."""
    node, child = get(root, path), get(root, (*path, number))
    return put(root, path, replace(child, binding=child.binding or node.binding))


def without(root: Node, path: Path) -> Node | None:
    """None: the step cannot be deleted."""
    if not path:
        return None
    match get(root, path[:-1]):
        case nodes.Then() | nodes.Race() | nodes.Join(branches=(_, _)):
            return unwrapped(root, path[:-1], 1 - path[-1])
        case nodes.Join() as join:
            branches = (*join.branches[: path[-1]], *join.branches[path[-1] + 1 :])
            return put(root, path[:-1], replace(join, branches=branches))
        case nodes.Loop() as loop if path[-1] == 1:
            return put(root, path[:-1], replace(loop, condition=None))
        case _:
            return None


# One edit of one step of one program, for each edit there is


@dataclass(frozen=True)
class Case:
    """A step of a program, and two new steps to put there."""

    text: str
    root: Node
    place: Place
    new: Node
    other: Node

    @property
    def step(self) -> Node:
        return get(self.root, self.place.path)

    def becomes(self, made: Edits, tree: Node) -> None:
        """The text after the edits is the program of this tree."""
        (definition,) = self.definitions(made)
        assert same(definition.node, tree)
        assert definition.label == ast.text("label")

    def step_becomes(self, made: Edits, step: Node) -> None:
        self.becomes(made, put(self.root, self.place.path, step))

    def grows(self, made: Edits, tree: Node) -> None:
        """As `becomes`, and nothing of the text is taken away."""
        assert all(not edit.span for edit in made)
        self.becomes(made, tree)

    def step_grows(self, made: Edits, step: Node) -> None:
        self.grows(made, put(self.root, self.place.path, step))

    def definitions(self, made: Edits) -> tuple[Definition, ...]:
        parsed = parse(Source("x.df", apply(self.text, made)))
        assert parsed.ok
        return parsed.module.definitions


def case(root: Node, layout: str, seed: int, choice: int, new: Node, other: Node, *, named: bool = False) -> Case:
    """named: a step that has a name."""
    text = laid_out(root, layout, seed)
    parsed = parse(Source("x.df", text))
    assert parsed.ok, text
    (definition,) = parsed.module.definitions
    every = [place for place in places(parsed.module) if place.node.binding is not None or not named]
    assume(every)
    return Case(text, definition.node, every[choice % len(every)], new, other)


parts = (programs(max_leaves=8), layouts, st.integers(0, 2**63), st.integers(0, 2**31), steps, steps)
cases = st.builds(case, *parts)
named_cases = st.builds(partial(case, named=True), *parts)

THOROUGH = settings(max_examples=examples(200), deadline=None, suppress_health_check=[HealthCheck.too_slow])


@THOROUGH
@given(cases)
def test_replacing(case: Case) -> None:
    case.step_becomes(edits.replace_step(case.place, case.new), case.new)


@THOROUGH
@given(cases)
def test_inserting_after(case: Case) -> None:
    case.grows(edits.insert_after(case.place, case.new), with_after(case.root, case.place.path, case.new))


@THOROUGH
@given(cases)
def test_inserting_before(case: Case) -> None:
    case.grows(edits.insert_before(case.place, case.new), with_before(case.root, case.place.path, case.new))


@THOROUGH
@given(cases)
def test_duplicating(case: Case) -> None:
    """The copy has no name: it would hide the first one's result."""
    copy = replace(case.step, binding=None)
    case.grows(edits.duplicate(case.place), with_after(case.root, case.place.path, copy))


@THOROUGH
@given(cases)
def test_wrapping_in_a_loop(case: Case) -> None:
    case.step_grows(edits.wrap_in_loop(case.place), ast.loop(case.step))


@THOROUGH
@given(cases)
def test_wrapping_in_a_loop_with_a_condition(case: Case) -> None:
    case.step_grows(edits.wrap_in_loop(case.place, case.new), ast.loop(case.step, case.new))


@THOROUGH
@given(cases)
def test_wrapping_in_an_if(case: Case) -> None:
    case.step_grows(edits.wrap_in_if(case.place, case.new, case.other), ast.if_(case.new, case.step, case.other))


@THOROUGH
@given(cases)
def test_wrapping_in_a_join(case: Case) -> None:
    case.step_grows(edits.wrap_in_join(case.place, case.new), ast.join(case.step, case.new))


@THOROUGH
@given(cases)
def test_wrapping_in_a_race(case: Case) -> None:
    case.step_grows(edits.wrap_in_race(case.place, case.new), ast.race(case.step, case.new))


@THOROUGH
@given(cases)
def test_wrapping_in_a_timeout(case: Case) -> None:
    case.step_grows(edits.wrap_in_timeout(case.place, 5), ast.race(case.step, ast.sleep(5)))


@THOROUGH
@given(cases)
def test_wrapping_in_a_child(case: Case) -> None:
    case.step_grows(edits.wrap_in_child(case.place, "it's"), ast.call(case.step, "it's"))


@THOROUGH
@given(cases)
def test_putting_in_parentheses(case: Case) -> None:
    case.step_grows(edits.parenthesise(case.place), case.step)


@THOROUGH
@given(cases)
def test_unwrapping(case: Case) -> None:
    last = len(case.place.children) - 1
    assume(last >= 0)
    case.becomes(edits.unwrap(case.place, last), unwrapped(case.root, case.place.path, last))


@THOROUGH
@given(cases)
def test_deleting(case: Case) -> None:
    tree = without(case.root, case.place.path)
    assume(tree is not None)
    assert tree is not None
    case.becomes(edits.delete(case.place), tree)


@THOROUGH
@given(cases)
def test_naming(case: Case) -> None:
    case.step_becomes(edits.set_name(case.place, "zulu"), replace(case.step, binding=ast.binding("zulu")))


@THOROUGH
@given(cases)
def test_removing_a_name(case: Case) -> None:
    case.step_becomes(edits.set_name(case.place, None), replace(case.step, binding=None))


# Renaming


@settings(
    max_examples=examples(1000),
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
@given(named_cases)
def test_renaming(case: Case) -> None:
    """Every reader in the workflow of the step follows; a child has names of its own."""
    assert case.step.binding is not None
    old, path = case.step.binding.name, case.place.path
    children_above = [
        number for number in range(len(path)) if isinstance(get(case.root, path[:number]), nodes.CallChild)
    ]
    start = path[: children_above[-1] + 1] if children_above else ()
    tree = put(case.root, start, renamed(get(case.root, start), old))
    case.becomes(edits.rename(case.place, "zulu"), tree)


def renamed(node: Node, old: str) -> Node:
    def reword(text: nodes.Text) -> nodes.Text:
        return ast.text(re.sub(rf"\${old}\b", "$zulu", text.value))

    def maybe(text: nodes.Text | None) -> nodes.Text | None:
        return None if text is None else reword(text)

    if node.binding is not None and node.binding.name == old:
        node = replace(node, binding=ast.binding("zulu"))
    match node:
        case nodes.Sql(query=query):
            node = replace(node, query=reword(query))
        case nodes.IfRows(result_name=name) if name.value == old:
            node = replace(node, result_name=ast.text("zulu"))
        case nodes.Http():
            node = replace(node, url=reword(node.url), body=maybe(node.body), headers=maybe(node.headers))
        case nodes.HttpMultipart():
            node = replace(node, url=reword(node.url), parts=reword(node.parts), headers=maybe(node.headers))
        case nodes.AwaitInstance():
            node = replace(node, instance_id=reword(node.instance_id))
        case nodes.Break():
            node = replace(node, value=maybe(node.value))
        case nodes.CallChild():
            return replace(node, label=maybe(node.label))
        case _:
            pass
    for number, child in enumerate(children(node)):
        node = with_child(node, number, renamed(child, old))
    return node


@given(programs(max_leaves=1))
def test_renaming_reads_the_texts_that_the_compiler_reads(node: Node) -> None:
    """The grammar may not import the compiler, so the list of texts with placeholders exists in both."""
    assert list(renaming.texts(node)) == [text for text, _ in reads.texts(node)]


@given(programs(max_leaves=6), st.integers(0, 5), steps)
def test_a_child_is_exchanged_and_the_others_stay(node: Node, number: int, new: Node) -> None:
    below = children(node)
    if number >= len(below):
        return
    exchanged = children(with_child(node, number, new))
    assert exchanged == (*below[:number], new, *below[number + 1 :])


# Any edit of texts that no printer writes

EDIT_COUNT = 15


def any_edit(number: int, place: Place, new: Node, other: Node) -> Edits:
    """One of all edits but unwrap, which needs a step with children. number: from 0 to EDIT_COUNT - 1."""
    match number:
        case 0:
            return edits.replace_step(place, new)
        case 1:
            return edits.insert_after(place, new)
        case 2:
            return edits.insert_before(place, new)
        case 3:
            return edits.duplicate(place)
        case 4:
            return edits.wrap_in_loop(place)
        case 5:
            return edits.wrap_in_loop(place, new)
        case 6:
            return edits.wrap_in_if(place, new, other)
        case 7:
            return edits.wrap_in_join(place, new)
        case 8:
            return edits.wrap_in_race(place, new)
        case 9:
            return edits.wrap_in_timeout(place, 5)
        case 10:
            return edits.wrap_in_child(place, "it's")
        case 11:
            return edits.parenthesise(place)
        case 12:
            return edits.delete(place)
        case 13:
            return edits.set_name(place, "zulu")
        case 14:
            return edits.set_name(place, None)
        case _:
            raise AssertionError(number)


@settings(
    max_examples=examples(600), deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much]
)
@given(
    texts.programs | st.integers(0, 2**63).map(lambda seed: expression(Random(seed), 3)),
    st.integers(0, 2**31),
    st.integers(0, EDIT_COUNT),
    steps,
    steps,
)
def test_an_edit_of_any_spelling_is_right_or_refused(
    text: str, choice: int, number: int, new: Node, other: Node
) -> None:
    """Each edit checks its own result, so a program that comes out always parses."""
    parsed = parse(Source("x.df", text))
    assume(parsed.ok and parsed.module.definitions)
    every = list(places(parsed.module))
    place = every[choice % len(every)]
    assume(number < EDIT_COUNT or place.children)
    try:
        if number < EDIT_COUNT:
            made = any_edit(number, place, new, other)
        else:
            made = edits.unwrap(place, len(place.children) - 1)
    except EditError:
        return
    assert parse(Source("x.df", apply(text, made))).ok


def plain(body: str) -> str:
    return "'" + body.replace("'", "''") + "'"


def escaped(body: str) -> str:
    return "E'" + body.replace("\\", "\\\\").replace("'", "\\'").replace("\n", "\\n") + "'"


def unicode(body: str) -> str:
    return "U&'" + body.replace("\\", "\\\\").replace("'", "''") + "'"


def two_literals(body: str) -> str:
    return "'BEGIN NULL; '\n  " + plain(body)


def dollars(body: str) -> str:
    return f"$body${body}$body$"


@pytest.mark.parametrize("quote", [plain, escaped, unicode, two_literals, dollars], ids=lambda quote: quote.__name__)
@settings(max_examples=examples(60), deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(programs(max_leaves=4), min_size=1, max_size=3),
    st.booleans(),
    st.integers(0, 2**31),
    st.integers(0, EDIT_COUNT - 1),
    steps,
    steps,
)
def test_an_edit_in_quotes_is_the_edit_without_them(
    quote: Callable[[str], str], roots: list[Node], nested: bool, choice: int, number: int, new: Node, other: Node
) -> None:
    """The body of a DO block is edited through its quotes as if it were a file, also if it is quoted twice."""
    body = "".join(f"PERFORM df.start({print_node(root, dollars=False)}); " for root in roots)
    quoted = quote(f"DO {quote(body)}" if nested and quote is not dollars else body)
    bare, file = parse(Source("x.sql", body)).module, parse(Source("x.sql", f"SELECT 1;\nDO {quoted};")).module
    at = choice % len(list(places(bare)))
    try:
        edited = apply(bare.source.text, any_edit(number, list(places(bare))[at], new, other))
    except EditError:
        with pytest.raises(EditError):
            any_edit(number, list(places(file))[at], new, other)
        return
    wanted = parse(Source("x.sql", edited))
    found = parse(Source("x.sql", apply(file.source.text, any_edit(number, list(places(file))[at], new, other))))
    assert found.ok
    assert len(found.module.definitions) == len(roots)
    for actual, expected in zip(found.module.definitions, wanted.module.definitions, strict=True):
        assert same(actual.node, expected.node)
