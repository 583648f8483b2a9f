"""What a person does on the canvas -> edits of the text. The text afterwards always parses, or the gesture is refused.

In comes a module, the block that is meant and what to do with it; out come the edits and where the new step then
begins. Most gestures have their counterpart in grammar/editing/edits.py; those that take steps elsewhere are in moving.py,
those about a step's own settings in step_settings.py, those about whole workflows in workflow_edits.py.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeAlias

from pgweave.designer import block_palette, moving, workflow_edits
from pgweave.designer.differences import difference
from pgweave.designer.drawing import block_id, is_merged, path_of
from pgweave.designer.moving import again, parsed_as
from pgweave.designer.step_settings import set_field, set_sql
from pgweave.grammar import nodes
from pgweave.grammar.diagnostics import Edit
from pgweave.grammar.editing import edits
from pgweave.grammar.editing.edits import EditError, Edits, Place
from pgweave.grammar.editing.patch import proved
from pgweave.grammar.editing.places import is_program, places, root_place
from pgweave.grammar.nodes import same
from pgweave.grammar.span import Span
from pgweave.grammar.writing.printer import print_operand

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from pgweave.grammar.nodes import Module, Node

Arguments: TypeAlias = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Changed:
    """What a gesture comes to.

    Afterwards, select: where the step it made or changed begins; None: nowhere special. block: the id of that step.
    """

    edits: Edits
    select: int | None = None
    block: str | None = None


def perform(module: Module, gesture: str, target: str, arguments: Arguments) -> Changed:
    """Carry a gesture out. target: id of a block; "" for a gesture on the whole text.

    EditError, in words for people, when it cannot be done here.
    """
    if target == "" and gesture.startswith("insert"):
        return _whole(module, workflow_edits.add(module, block_palette.new_step(str(arguments.get("entry")))))
    place = place_of_block(module, target)
    found = _GESTURES.get(gesture)
    if found is None:
        raise EditError(f"There is no gesture `{gesture}`.")
    changed = found(place, arguments)
    if changed.block is None:
        return changed
    # Ids are paths of the new tree, which the view has not seen yet.
    after = parsed_as(module, edits.apply(module.source.text, changed.edits))
    return replace(changed, block=_shown(after, changed.block))


def place_of_block(module: Module, block: str) -> Place:
    """The step that a block shows. EditError when there is none: the drawing is of another text."""
    try:
        index, path = path_of(block)
        # Python would take -1 for the last child.
        if index < 0 or min(path, default=0) < 0:
            raise IndexError(block)
        return edits.step_place(module, index, path)
    except (ValueError, IndexError) as error:
        raise EditError("This step is not there any more.") from error


# New steps


def _insert(place: Place, arguments: Arguments, *, after: bool) -> Changed:
    new = _entry(place, arguments)
    return _new(place, new, edits.insert_after(place, new) if after else edits.insert_before(place, new))


def _insert_into(place: Place, arguments: Arguments) -> Changed:
    """Add a step at the end of a part: of a branch, a body, a sequence; or give a loop its condition."""
    role = str(arguments.get("role", ""))
    if role == "condition" and isinstance(place.node, nodes.Loop) and place.node.condition is None:
        new = _entry(place, arguments)
        return _new(place, new, moving.with_condition(place, place.node, new))
    if role == "branch":
        return _add_branch(place, arguments)
    part = place if role in ("", "step") else place.child(_number(place, role))
    return _insert(part, arguments, after=True)


def _replace(place: Place, arguments: Arguments) -> Changed:
    """Another step here, under the name of the old one."""
    new = _entry(place, arguments)
    if place.node.binding is None:
        return _new(place, new, edits.replace_step(place, new))
    named = replace(new, binding=place.node.binding)
    text = print_operand(new, dollars=is_program(place.module))
    return _new(place, named, _first(place, named, [[Edit(place.unnamed, text)]]) or edits.replace_step(place, named))


def _add_branch(place: Place, arguments: Arguments) -> Changed:
    """One more branch, behind the others; the name of the whole stays outside."""
    new, node = _entry(place, arguments), replace(place.node, binding=None)
    expected: Node
    match node:
        case nodes.Join():
            symbol, expected = "&", nodes.Join(branches=(node, new), span=node.span, binding=place.node.binding)
        case nodes.Race():
            symbol, expected = "|", nodes.Race(left=node, right=new, span=node.span, binding=place.node.binding)
        case _:
            raise EditError("Only what runs side by side has branches.")
    start, end = Span(place.unnamed.start, place.unnamed.start), Span(place.unnamed.end, place.unnamed.end)
    more = f" {symbol} {print_operand(new, dollars=is_program(place.module))}"
    # a & b & c first; with parentheses where that would group otherwise.
    choices = [[Edit(end, more)], [Edit(start, "("), Edit(end, f"{more})")]]
    return _new(place, new, _first(place, expected, choices) or edits.replace_step(place, expected))


def _first(place: Place, expected: Node, choices: Iterable[list[Edit]]) -> Edits | None:
    """The first of these edits that makes `expected` of a step."""
    for choice in choices:
        try:
            return proved(place, expected, choice)
        except EditError:
            continue
    return None


def _entry(place: Place, arguments: Arguments) -> Node:
    new = block_palette.new_step(str(arguments.get("entry")))
    if isinstance(new, nodes.IfRows):
        names = [
            other.node.binding.name for other in _steps(root_place(place.module, place.index)) if other.node.binding
        ]
        return replace(new, result_name=block_palette.text(names[-1])) if names else new
    return new


def _steps(root: Place) -> Iterator[Place]:
    pending = [root]
    while pending:
        place = pending.pop()
        yield place
        pending.extend(reversed(place.children))


# Steps that go elsewhere


def _duplicate(place: Place, arguments: Arguments) -> Changed:
    return _new(place, replace(place.node, binding=None), moving.duplicate(place))


def _move(place: Place, arguments: Arguments) -> Changed:
    to = place_of_block(place.module, str(arguments.get("to")))
    return _new(place, place.node, moving.move(place, to, before=arguments.get("where") == "before"))


# Around steps


def _wrap(place: Place, arguments: Arguments) -> Changed:
    wrapper = WRAPPERS.get(str(arguments.get("with")))
    if wrapper is None:
        raise EditError(f"A step can be wrapped in {', '.join(WRAPPERS)}.")
    found = wrapper(place)
    return Changed(found, _moved(found, place.outer.start), block_id(place.index, place.path))


def _in_child(place: Place) -> Edits:
    label = place.node.binding.name if place.node.binding else "child"
    return edits.wrap_in_child(place, label)


WRAPPERS: dict[str, Callable[[Place], Edits]] = {
    "if": lambda place: edits.wrap_in_if(
        place, block_palette.sql("SELECT true"), block_palette.sql("SELECT 'otherwise'")
    ),
    "loop": edits.wrap_in_loop,
    "while": lambda place: edits.wrap_in_loop(place, block_palette.sql("SELECT false")),
    "parallel": lambda place: edits.wrap_in_join(place, block_palette.sql()),
    "race": lambda place: edits.wrap_in_race(place, block_palette.signal("stop")),
    "timeout": lambda place: edits.wrap_in_timeout(place, 60),
    "child": _in_child,
}


def _unwrap(place: Place, arguments: Arguments) -> Changed:
    """Put one part in the place of the whole. to: the block to keep; else by its role, else the first."""
    if isinstance(place.node, nodes.Then):
        raise EditError("There is nothing around the steps of a sequence to take away.")
    to = arguments.get("to")
    numbers = (_number(place, str(arguments.get("role") or "")),) if to is None else _way(place, str(to))
    module = place.module
    for number in numbers:  # of branches within branches one level at a time
        here = again(module, place)
        module = parsed_as(module, edits.apply(module.source.text, edits.unwrap(here, number)))
    here = again(module, place)
    return Changed(difference(place.text, module.source.text), here.outer.start, block_id(here.index, here.path))


def _way(place: Place, block: str) -> tuple[int, ...]:
    """Numbers of children from a step to one of its parts; of a part of a part, if those are drawn as one."""
    to = place_of_block(place.module, block)
    way = to.path[len(place.path) :]
    if not way or (to.index, to.path[: len(place.path)]) != (place.index, place.path):
        raise EditError("This is no part of that step.")
    here = place
    for number in way[:-1]:
        here = here.child(number)
        if type(here.node) is not type(place.node):
            raise EditError("This is a part of a part of that step.")
    return way


_ROLES = {"then": 0, "else": 1, "body": 0, "child": 0, "branch": 0, "": 0}


def _number(place: Place, role: str) -> int:
    """Which child of the AST node plays this role."""
    number = len(place.children) - 1 if role == "condition" else _ROLES.get(role, len(place.children))
    if not 0 <= number < len(place.children):
        raise EditError(f"This step has no part `{role}`." if role else "This step holds no others.")
    return number


def _delete(place: Place, arguments: Arguments) -> Changed:
    if place.parent is None:
        return Changed(workflow_edits.remove(place.module, place.index))
    found = edits.delete(place)
    return Changed(found, _moved(found, place.outer.start))


# The step itself


def _set_name(place: Place, arguments: Arguments) -> Changed:
    name = arguments.get("name") or None
    return _same_place(place, edits.set_name(place, name))


def _rename(place: Place, arguments: Arguments) -> Changed:
    return _same_place(place, edits.rename(place, str(arguments.get("name"))))


def _set_label(place: Place, arguments: Arguments) -> Changed:
    return _whole(place.module, workflow_edits.set_label(place.module, place.index, arguments.get("label") or None))


_GESTURES: dict[str, Callable[[Place, Arguments], Changed]] = {
    "insert_after": lambda place, arguments: _insert(place, arguments, after=True),
    "insert_before": lambda place, arguments: _insert(place, arguments, after=False),
    "insert_into": _insert_into,
    "replace": _replace,
    "add_branch": _add_branch,
    "move": _move,
    "duplicate": _duplicate,
    "delete": _delete,
    "wrap": _wrap,
    "unwrap": _unwrap,
    "set_sql": lambda place, arguments: _same_place(place, set_sql(place, str(arguments.get("text")))),
    "set_field": lambda place, arguments: _same_place(
        place, set_field(place, str(arguments.get("field")), arguments.get("value"))
    ),
    "set_name": _set_name,
    "rename": _rename,
    "set_label": _set_label,
}
GESTURES = tuple(_GESTURES)


# Where things are afterwards


def _moved(changes: Edits, offset: int) -> int:
    """Where a place of the old text is in the new one; at an insertion, before it."""
    shift = 0
    for edit in sorted(changes, key=lambda edit: edit.span):
        if edit.span.start >= offset:
            break
        shift += len(edit.text) - (min(edit.span.end, offset) - edit.span.start)
    return offset + shift


def _same_place(place: Place, changes: Edits) -> Changed:
    return Changed(changes, _moved(changes, place.outer.start), block_id(place.index, place.path))


def _whole(module: Module, changes: Edits) -> Changed:
    return Changed(changes, _moved(changes, changes[0].span.start) if changes else None)


def _new(place: Place, new: Node, changes: Edits) -> Changed:
    """With the place where the new step has come to stand: the first equal one in the text that was written."""
    after = parsed_as(place.module, edits.apply(place.text, changes))
    written = list(_written(changes))
    found = [other for other in places(after) if same(other.node, new)]
    # An equal step may stand elsewhere already: the new one is in what was just written.
    inside = [other for other in found if any(span.start <= other.bare.start < span.end for span in written)]
    first = next(iter(inside or found), None)
    if first is None:
        return Changed(changes)
    return Changed(changes, first.bare.start, block_id(first.index, first.path))


def _shown(module: Module, block: str) -> str:
    """The block that shows a step: of a sequence within a sequence its first step, of a join within a join the whole."""
    place = place_of_block(module, block)
    while is_merged(place) and place.parent is not None:
        place = place.child(0) if isinstance(place.node, nodes.Then) else place.parent
    return block_id(place.index, place.path)


def _written(changes: Edits) -> Iterator[Span]:
    """What the edits write, as stretches of the new text."""
    shift = 0
    for edit in sorted(changes, key=lambda edit: edit.span):
        start = edit.span.start + shift
        yield Span(start, start + len(edit.text))
        shift += len(edit.text) - len(edit.span)
