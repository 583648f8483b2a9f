"""Changes to a program as edits of its text, for tools: the least that says it, and every other byte as it was.

    place = place_at(module, offset)                     which step
    edits = insert_after(place, new_node)                what to do with it: a few diagnostics.Edit
    text = apply(module.source.text, edits)              the new program

Every function says what the tree will be afterwards, and before it returns its edits it reads the new text and
compares: an edit that would come out as anything else (because the step is part of Durofut JSON, or is computed) is an
EditError, whose message is one sentence for people. New steps are given as nodes and are printed; what is in the text
already stays as it is written.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

from pgweave.grammar import nodes
from pgweave.grammar.diagnostics import Edit
from pgweave.grammar.editing.arguments import Arguments, arguments_of
from pgweave.grammar.editing.patch import EditError, Edits, apply, proved
from pgweave.grammar.editing.places import (
    LEFT,
    Place,
    is_program,
    place_at,
    place_of,
    places,
    step_place,
    with_field,
    without_parentheses,
)
from pgweave.grammar.editing.quoted import through_quotes
from pgweave.grammar.editing.renaming import rename
from pgweave.grammar.kinds import Type
from pgweave.grammar.leaves import OF_CALL
from pgweave.grammar.meaning.durofut import bad_name
from pgweave.grammar.meaning.jsonb import BadJson, parse_json, render_jsonb
from pgweave.grammar.nodes import Binding, Option, Text
from pgweave.grammar.reading.lexer import lex
from pgweave.grammar.result_names import is_name
from pgweave.grammar.span import Span
from pgweave.grammar.writing.printer import options_text, print_node, print_operand
from pgweave.grammar.writing.quoting import quote

if TYPE_CHECKING:
    from pgweave.grammar.nodes import Node

__all__ = [
    "EditError", "Edits", "Place", "apply", "delete", "duplicate", "insert_after", "insert_before", "parenthesise",
    "place_at", "place_of", "places", "rename", "replace_step", "set_argument", "set_name", "set_option",
    "step_place", "unwrap",
    "wrap_in_child", "wrap_in_if", "wrap_in_join", "wrap_in_loop", "wrap_in_race", "wrap_in_timeout",
]  # fmt: skip


@through_quotes
def replace_step(place: Place, new: Node) -> Edits:
    """Put another step in the place of this one and of everything below it."""
    # As an argument `a & b` needs no parentheses, beside an operator it does.
    text = _print(place, new) if place.surroundings == "" else _operand(place, new)
    return proved(place, new, [Edit(place.outer, text)])


@through_quotes
def insert_after(place: Place, new: Node) -> Edits:
    """Run `new` when this step is done. In a chain it becomes the next step: `a ~> b` and `a` give `a ~> new ~> b`."""
    parent = place.parent
    # path[-1] 1: the second child of a Then. In a ~> b ~> c only `c` is that of the whole chain.
    if parent is not None and _is_chain(parent) and place.path[-1] == 1:
        place = parent  # `a ~> b` and `b` give `a ~> b ~> new`, not `a ~> (b ~> new)`
    expected = nodes.Then(first=place.node, second=new, span=place.node.span)
    line = _new_line(place)
    after = f"{line or ' '}~> {_operand(place, new)}"
    return _grow(place, expected, "", after, "~>", left=True, below=bool(line))


@through_quotes
def insert_before(place: Place, new: Node) -> Edits:
    """Run `new` before this step. Before a chain it becomes the first step: `a ~> b` gives `new ~> a ~> b`."""
    # A chain with a name, (a ~> b) |=> 'x', is one step: what is inserted before it goes in front of the
    # parentheses.
    while _is_chain(place) and place.node.binding is None:
        place = place.child(0)
    parent = place.parent
    # The chain a ~> b ~> c is (a ~> b) ~> c. Before `c`, the new step goes to the end of what comes before it.
    if parent is not None and _is_chain(parent) and place.path[-1] == 1:
        assert isinstance(parent.node, nodes.Then)
        start = nodes.Then(first=parent.node.first, second=new, span=parent.node.span)
        edit = Edit(_at(place.outer.start), f"{_operand(place, new)}{_new_line(parent) or ' '}~> ")
        return proved(parent, replace(parent.node, first=start), [edit])
    expected = nodes.Then(first=new, second=place.node, span=place.node.span)
    # `a |=> 'x' ~> b` needs no parentheses: |=> on the first step of a chain groups first.
    first = _print(place, new) if new.binding is not None else _operand(place, new)
    before = f"{first}{_new_line(place) or ' '}~> "
    return _grow(place, expected, before, "", "~>", left=False)


def duplicate(place: Place) -> Edits:
    """Do this step once more, just after it; the second has no name."""
    return insert_after(place, replace(place.node, binding=None))


@through_quotes
def wrap_in_loop(place: Place, condition: Node | None = None) -> Edits:
    """Repeat this step: for ever, or while `condition`, tested after each turn, is true."""
    expected = nodes.Loop(body=place.node, condition=condition, span=place.node.span)
    # @> has no condition; with one the loop is a call, df.loop(body, condition).
    if condition is None:
        return _grow(place, expected, "@> ", "", "@>", left=False)
    return _enclose(place, expected, "df.loop", f", {_print(place, condition)}")


@through_quotes
def wrap_in_if(place: Place, condition: Node, else_branch: Node) -> Edits:
    """Do this step only if `condition` is true, and `else_branch` if it is not."""
    expected = nodes.If(condition=condition, then_branch=place.node, else_branch=else_branch, span=place.node.span)
    before, after = f"{_operand(place, condition)} ?> ", f" !> {_operand(place, else_branch)}"
    return _grow(place, expected, before, after, "?>", left=False)


@through_quotes
def wrap_in_join(place: Place, other: Node) -> Edits:
    """Do `other` side by side with this step, and wait for both."""
    expected = nodes.Join(branches=(place.node, other), span=place.node.span)
    return _grow(place, expected, "", f" & {_operand(place, other)}", "&", left=True)


@through_quotes
def wrap_in_race(place: Place, other: Node) -> Edits:
    """Do `other` side by side with this step; the first to finish wins."""
    expected = nodes.Race(left=place.node, right=other, span=place.node.span)
    return _grow(place, expected, "", f" | {_operand(place, other)}", "|", left=True)


def wrap_in_timeout(place: Place, seconds: int) -> Edits:
    """Wait no longer than so many seconds for this step: a race with a sleep."""
    return wrap_in_race(place, nodes.Sleep(seconds=seconds, span=place.node.span))


@through_quotes
def wrap_in_child(place: Place, label: str | None = None) -> Edits:
    """Make an instance of its own of this step, and wait for its end."""
    text = None if label is None else Text(label, place.node.span)
    expected = nodes.CallChild(child=place.node, label=text, span=place.node.span)
    return _enclose(place, expected, "df.call_child", "" if label is None else f", {_quote(place, label)}")


@through_quotes
def parenthesise(place: Place) -> Edits:
    """Put parentheses around this step; it means what it meant."""
    return proved(place, place.node, [Edit(_at(place.outer.start), "("), Edit(_at(place.outer.end), ")")])


@through_quotes
def unwrap(place: Place, keep: int = 0) -> Edits:
    """Put one of the steps below this one in its place. The name of this one goes over to a step that has none."""
    return proved(place, _kept(place, keep), _strip(place, place.child(keep)))


@through_quotes
def delete(place: Place) -> Edits:
    """Take this step out: of a chain, of what runs side by side, or the condition of a loop."""
    parent = place.parent
    if parent is None:
        raise EditError("This is the whole workflow; delete its statement instead.")
    number, node = place.path[-1], parent.node
    match node:
        case nodes.Then() | nodes.Race() | nodes.Join(branches=(_, _)):
            return _delete_operand(place, parent)
        case nodes.Join():
            branches = (*node.branches[:number], *node.branches[number + 1 :])
            return proved(parent, replace(node, branches=branches), _without_branch(parent, number))
        case nodes.Loop() if number == 1:
            return proved(parent, replace(node, condition=None), _arguments(parent).without("condition"))
        case nodes.Loop() | nodes.CallChild():
            raise EditError("Nothing would be left to do here; replace this step, or delete the one around it.")
        case _:
            raise EditError("A branch must do something; replace this step, or unwrap the one around it.")


@through_quotes
def set_name(place: Place, name: str | None) -> Edits:
    """Name the result of this step, or take its name away. What reads the old name is not touched; see rename."""
    node, binding = place.node, place.node.binding
    if name is not None and not is_name(name):
        raise EditError(bad_name(name))
    expected = replace(node, binding=None if name is None else Binding(name, node.span))
    if binding is None:
        return () if name is None else _grow(place, expected, "", f" |=> '{name}'", "|=>", left=True)
    if name is not None:
        return proved(place, expected, [Edit(binding.span, f"'{name}'")])
    if binding.target is None:
        raise EditError("The name of this step is part of its Durofut JSON; write the step with a df call first.")
    # `'a' |=> 'x'`: cutting the tail off is the least edit. For df.as('a', 'x') or nested names both ends are
    # rewritten below.
    if binding.operator is not None and without_parentheses(place.text, binding.target) == place.unnamed:
        return proved(place, expected, [Edit(Span(binding.target.end, place.bare.end), "")])
    start, end = ("", "") if place.surroundings == "" or place.unnamed_shape == "primary" else ("(", ")")
    edits = [
        Edit(Span(place.bare.start, place.unnamed.start), start),
        Edit(Span(place.unnamed.end, place.bare.end), end),
    ]
    return proved(place, expected, edits)


@through_quotes
def set_argument(place: Place, parameter: str, value: str | int | None) -> Edits:
    """Give an argument of this step's call another value. None leaves it to its default.

    parameter: as the call has it, `seconds` of df.sleep; of a plain SQL step `query`. JSON is given as text.
    """
    node = place.node
    arguments = arguments_of(place)
    if arguments is None and isinstance(node, nodes.Sql) and parameter == "query" and isinstance(value, str):
        expected: Node = replace(node, query=Text(value, node.span))
        return proved(place, expected, [Edit(place.unnamed, _print(place, replace(expected, binding=None)))])
    param = None if arguments is None else arguments.param(parameter)
    call = type(node).__name__ if arguments is None else f"df.{arguments.call.name}"
    # Steps are arguments too, df.loop(body => ..), but replace_step changes those.
    if arguments is None or param is None or (arguments.call.name, parameter) not in _FIELDS:
        raise EditError(f"{call} has no argument `{parameter}` that can be set.")
    if value is None and param.required:
        raise EditError(f"{call} needs its `{parameter}`.")
    value = param.default if value is None else value  # type: ignore[assignment]  # it is not REQUIRED
    field = _FIELDS[arguments.call.name, parameter]
    expected = with_field(node, field, _as_field(place, param.type, parameter, value))
    if value == param.default:
        return proved(place, expected, arguments.without(parameter))
    literal = _quote(place, value) if isinstance(value, str) else str(value)
    return proved(place, expected, arguments.with_value(parameter, literal))


@through_quotes
def set_option(place: Place, name: str, value: object) -> Edits:
    """Give df.call_child an option, a JSON value as Python has it; None takes the option away."""
    node = place.node
    if not isinstance(node, nodes.CallChild):
        raise EditError("Only df.call_child has options.")
    old = node.option(name)
    options = _with_option(node, name, None if value is None else Option(name, value, node.span, node.span))
    expected = replace(node, options=options or None)
    # Only the digits are replaced, so that the rest of the options keeps its spaces and its order.
    if old is not None and isinstance(value, int) and old.value_span.of(place.text).isdecimal():
        try:
            return proved(place, expected, [Edit(old.value_span, str(value))])
        except EditError:
            pass  # the number is not a literal of its own, as in '{"a": 1' || '0}': write all options again
    arguments = _arguments(place)
    if not options:
        return proved(place, expected, arguments.without("options"))
    return proved(place, expected, arguments.with_value("options", _quote(place, options_text(options))))


def _with_option(node: nodes.CallChild, name: str, new: Option | None) -> tuple[Option, ...]:
    """The options with `new` where the one of that name was, or at the end; without that one if `new` is None.

    Of equal names the last counts, as in jsonb, and only that one is kept.
    """
    old = node.option(name)
    kept = [option for option in node.options or () if option.name != name or option is old]
    if old is None:
        return tuple(kept if new is None else [*kept, new])
    replaced = (new if option is old else option for option in kept)
    return tuple(option for option in replaced if option is not None)


# Which field of the node an argument becomes. Steps, names and options are changed by other functions.
_FIELDS = {
    ("if_rows", "result_name"): "result_name",
    ("call_child", "label"): "label",
    **{(name, member.param): member.field for name, kind in OF_CALL.items() for member in kind.values},
}


def _as_field(place: Place, kind: Type, parameter: str, value: str | int | None) -> object:
    """A value in the form that the node has it in."""
    if isinstance(value, str) and kind is Type.JSONB:
        try:
            return render_jsonb(parse_json(Text(value, place.node.span)))
        except BadJson as bad:
            raise EditError(f"`{parameter}` must be JSON: {bad.detail}.") from None
    if isinstance(value, str) and parameter == "method":
        return value.upper()
    if isinstance(value, str) != (kind in (Type.TEXT, Type.JSONB)) and value is not None:
        raise EditError(f"`{parameter}` must be {'text' if kind is Type.TEXT else 'a whole number'}.")
    return Text(value, place.node.span) if isinstance(value, str) else value


def _print(place: Place, node: Node) -> str:
    return print_node(node, dollars=is_program(place.module))


def _operand(place: Place, node: Node) -> str:
    return print_operand(node, dollars=is_program(place.module))


def _quote(place: Place, text: str) -> str:
    return quote(text, dollars=is_program(place.module))


def _at(offset: int) -> Span:
    return Span(offset, offset)


def _is_chain(place: Place) -> bool:
    return isinstance(place.node, nodes.Then) and place.has_operator


def _new_line(place: Place) -> str:
    """A line end and an indentation, if the chain around this step (or the step, a chain) has a line for each step."""
    for chain in (place, place.parent):
        operator = chain.operator if chain is not None and _is_chain(chain) else None
        if operator is not None:
            line = place.text[place.text.rfind("\n", 0, operator.start) + 1 : operator.start]
            # ">": in a quoted Markdown fence every line begins with a mark.
            if not line.strip(" \t>"):
                return ("\r\n" if "\r\n" in place.text else "\n") + line
    return ""


def _may_stand_bare(surroundings: str, symbol: str) -> bool:
    """Whether an expression of this operator needs no parentheses there."""
    return surroundings == "" or (surroundings == symbol and symbol in ("~>", "&", "|"))


_COMMENT_TO_LINE_END = re.compile(r"[ \t]*(?:--[^\n\r]*|/\*[^\n\r*]*\*/[ \t]*)?(?=\r?\n|\Z)")


def _behind_comment(text: str, end: int) -> int:
    """Behind the comment that ends the line, if nothing but that follows there."""
    comment = _COMMENT_TO_LINE_END.match(text, end)
    return end if comment is None else comment.end()


def _grow(
    place: Place, expected: Node, before: str, after: str, symbol: str, *, left: bool, below: bool = False
) -> Edits:
    """Make the step an operand of `symbol`, with parentheses where they are needed and are not there yet.

    left: whether it is the left operand. below: `after` begins a line, so that a comment behind the step stays there.
    """
    shape = place.shape
    fits = shape == "primary" or (left and shape in LEFT[symbol]) or (symbol == "@>" and shape == "@>")
    opening, closing = ("", "") if fits else ("(", ")")
    # `a |=> 'x' ~> b` groups as wanted: a name may also be given bare to the first step of a chain.
    bare = _may_stand_bare(place.surroundings, symbol) or (symbol == "|=>" and place.surroundings == "~>")
    span = place.bare
    # Parentheses that are there already are used as the outer or the inner pair, whichever is needed.
    # The argument (a ~> b) becomes @> (a ~> b): the pair that is there serves as the inner one.
    if place.node.parens is not None and bare:
        span, opening, closing = place.outer, "", ""
    elif place.node.parens is None and not bare:
        before, after, below = f"({before}", f"{after})", False
    end = _behind_comment(place.text, span.end) if below and not closing else span.end
    return proved(place, expected, [Edit(_at(span.start), before + opening), Edit(_at(end), closing + after)])


def _enclose(place: Place, expected: Node, call: str, after: str) -> Edits:
    """Make the step the first argument of a call; its own parentheses become those of the call."""
    if place.node.parens is not None:
        # ('a' ~> 'b') becomes df.loop('a' ~> 'b', 'c'): `df.loop` before the parenthesis, `, 'c'` before the
        # closing one.
        edits = [Edit(_at(place.outer.start), call), Edit(_at(place.outer.end - 1), after)]
    else:
        edits = [Edit(_at(place.bare.start), f"{call}("), Edit(_at(place.bare.end), f"{after})")]
    return proved(place, expected, edits)


def _kept(place: Place, keep: int) -> Node:
    kept = place.child(keep).node
    return replace(kept, binding=kept.binding or place.node.binding)


def _strip(place: Place, kept: Place) -> list[Edit]:
    """Cut away what stands around `kept`, a step below `place`; a name stays if it is needed.

    Of df.loop('a' ~> 'b', 'c') |=> 'x' with the body kept, two edits remove `df.loop(` and `, 'c')`. The name stays,
    and because `'a' ~> 'b'` then is the operand of `|=>`, the edits write parentheses in their places.
    """
    binding = place.node.binding
    region, surroundings = place.outer, place.surroundings
    if binding is not None and kept.node.binding is None:
        if binding.target is None:
            raise EditError("The name of this step is part of its Durofut JSON; write the step with a df call first.")
        region, surroundings = binding.target, "" if binding.operator is None else "|=>"
    shape = kept.shape if kept.node.parens is None else "primary"
    # "right" is no key of LEFT: to the right of an operator only a primary stands bare.
    bare = surroundings == "" or shape == "primary" or shape in LEFT.get(surroundings, set())
    opening, closing = ("", "") if bare else ("(", ")")
    inner = kept.outer
    return [Edit(Span(region.start, inner.start), opening), Edit(Span(inner.end, region.end), closing)]


def _delete_operand(place: Place, parent: Place) -> Edits:
    """Take away one side of an operator, or of df.seq and the like; comments of the other side stay."""
    sibling = parent.child(1 - place.path[-1])
    before, after = _strip(parent, sibling)
    operator = parent.operator
    expected = _kept(parent, 1 - place.path[-1])
    if operator is not None and not before.text and not after.text:
        if place.path[-1] == 1 and after.span.start <= operator.start:
            after = Edit(_with_line(place, after.span, operator), "")
        elif place.path[-1] == 0 and operator.end <= before.span.end:
            own = _own_comment(parent.text, place.outer.end, operator.start)
            if own is not None:
                cuts = [Edit(Span(before.span.start, own), ""), Edit(Span(operator.start, before.span.end), "")]
                return proved(parent, expected, [*cuts, after])
    return proved(parent, expected, [before, after])


def _with_line(place: Place, cut: Span, operator: Span) -> Span:
    """What is deleted with an operator and the step behind it: their line, but no comment about other steps.

    'a' -- first
    ~> 'b' -- second         all of this line is deleted, the comment with it
    """
    text = place.text
    above = text[cut.start : operator.start]
    line = operator.start - (len(above) - len(above.rstrip(" \t")))
    own_line = text[line - 1 : line] == "\n"
    end = _behind_comment(text, cut.end) if own_line and cut.end == place.outer.end else cut.end
    if not above.strip():
        return Span(cut.start, end)
    if own_line and text[end : end + 2].startswith(("\n", "\r\n")):
        return Span(line, text.index("\n", end) + 1)
    last = lex(above).comments[-1].of(above)
    return Span(operator.start if last.startswith("--") else cut.start + len(above.rstrip()), end)


def _own_comment(text: str, start: int, end: int) -> int | None:
    """Where the first comment on a line of its own begins."""
    gap = text[start:end]
    for comment in lex(gap).comments:
        if "\n" in gap[: comment.start]:
            return start + comment.start
    return None


def _arguments(place: Place) -> Arguments:
    arguments = arguments_of(place)
    if arguments is None:
        raise EditError("This step is not written as a df call.")
    return arguments


def _without_branch(place: Place, number: int) -> list[Edit]:
    """df.join3 without one of its branches is df.join."""
    arguments = _arguments(place)
    if any(argument.named for argument in arguments.given):
        raise EditError("Write the branches of df.join3 without their names first.")
    return [Edit(arguments.name, "join"), Edit(arguments.extent(number), "")]
