"""Completion and hover in `%%pgweave` cells, by way of IPython's completer and the kernel's inspection.

Both ask compiler.assist, as the language server does. A cell's first line, the magic's own, is blanked before: every
offset in the cell is then one in the program.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from IPython.core.completer import SimpleCompletion, context_matcher

from pgweave.api import Run, Workflow
from pgweave.compiler.assist import Assistant
from pgweave.grammar.span import Source
from pgweave.notebooks.commands import COMMANDS

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from IPython.core.completer import CompletionContext, SimpleMatcherResult

    from pgweave.notebooks.shell import Shell

_CELL = re.compile(r"%%pgweave\b(?![ \t]+sql\b)[^\n]*")
_LINE = re.compile(r"%pgweave[ \t]+(?:(\w+)[ \t]+)?([^ \t]*)\Z")
_OPTION = re.compile(r"%%pgweave\b.*[ \t](-[-\w]*)\Z")
_OPTIONS = ("--dsn", "--run", "--check-only", "--label", "--var")
# As JupyterLab colours them; it knows the words of the language server protocol.
_KINDS = {
    "call": "function", "name": "variable", "column": "field", "option": "property", "value": "value",
    "variable": "variable", "argument": "property",
}  # fmt: skip


def program(cell: str) -> str | None:
    """The program of a cell, offset for offset; None when it is a cell of something else."""
    head = _CELL.match(cell)
    return None if head is None else " " * head.end() + cell[head.end() :]


def offset_of(text: str, line: int, column: int) -> int:
    """Offset of a place; line and column from 0."""
    return sum(len(each) + 1 for each in text.split("\n")[:line]) + column


def suggestions(cell: str, offset: int) -> tuple[str, list[SimpleCompletion]]:
    """What may stand at a place of a cell, and the text that it takes the place of."""
    text = program(cell)
    if text is None:
        return "", []
    found = Assistant(Source("cell", text)).complete(offset)
    if not found:
        return "", []
    typed = cell[min(one.span.start for one in found) : offset]
    fitting = [one for one in found if one.label.lower().startswith(cell[one.span.start : offset].lower())]
    fitting = fitting or [one for one in found if one.label.lower().startswith(f"df.{typed.lower()}")]
    return typed, [SimpleCompletion(one.label, type=_KINDS.get(one.kind)) for one in fitting]


def match(shell: Shell, context: CompletionContext) -> SimpleMatcherResult:
    """What may stand at the cursor; IPython's own matchers are suppressed where pgweave has suggestions."""
    before = context.full_text.split("\n")[context.cursor_line][: context.cursor_position]
    if context.cursor_line and program(context.full_text) is not None:
        place = offset_of(context.full_text, context.cursor_line, context.cursor_position)
        typed, found = suggestions(context.full_text, place)
    else:
        typed, words = _of_a_line(shell, before)
        found = [SimpleCompletion(word) for word in words if word.startswith(typed)]
    return {"completions": found, "matched_fragment": typed, "suppress": bool(found), "ordered": True}


def _of_a_line(shell: Shell, before: str) -> tuple[str, Sequence[str]]:
    """Options of the cell magic; commands of the line magic, and variables for them."""
    if option := _OPTION.match(before):
        return option[1], _OPTIONS
    line = _LINE.search(before)
    if line is None or before.lstrip().startswith("%%"):
        return "", ()
    if line[1] is None:
        return line[2], tuple(COMMANDS)
    if line[1] in ("check", "text"):
        return line[2], _variables(shell, Workflow)
    if line[1] in ("show", "signal", "cancel", "wait", "result"):
        return line[2], _variables(shell, Run)
    return "", ()


def _variables(shell: Shell, kind: type) -> tuple[str, ...]:
    """Variables of the session that hold such a thing."""
    return tuple(name for name, value in shell.user_ns.items() if isinstance(value, kind) and not name.startswith("_"))


def hover(cell: str, offset: int) -> dict[str, Any] | None:
    """The kernel's answer to an inspection; None when there is nothing to say about the place."""
    text = program(cell)
    found = None if text is None else Assistant(Source("cell", text)).hover(offset)
    if found is None:
        return None
    data = {"text/markdown": found.markdown, "text/plain": re.sub(r"```\w*\n?|\*\*|`", "", found.markdown)}
    return {"status": "ok", "found": True, "data": data, "metadata": {}}


def register(shell: Any) -> None:  # noqa: ANN401
    """Complete and inspect `%%pgweave` cells, in this shell and in its kernel."""
    unregister(shell)

    @context_matcher(identifier="pgweave", priority=1000)  # type: ignore[untyped-decorator]
    def matcher(context: CompletionContext) -> SimpleMatcherResult:
        return match(shell, context)

    shell.Completer.custom_matchers.append(matcher)
    kernel = getattr(shell, "kernel", None)
    if kernel is not None:
        kernel.do_inspect = _inspecting(kernel.do_inspect)


def unregister(shell: Any) -> None:  # noqa: ANN401
    """Undo `register`."""
    matchers = shell.Completer.custom_matchers
    # In place: the list is IPython's.
    matchers[:] = [matcher for matcher in matchers if getattr(matcher, "matcher_identifier", "") != "pgweave"]
    kernel = getattr(shell, "kernel", None)
    if kernel is not None and hasattr(kernel.do_inspect, "original"):
        kernel.do_inspect = kernel.do_inspect.original


def _inspecting(original: Callable[..., Any]) -> Callable[..., Any]:
    """The kernel's own inspection (Shift+Tab), asked about Python only: IPython has no hook for it."""

    def do_inspect(code: str, cursor_pos: int, *arguments: Any, **options: Any) -> Any:  # noqa: ANN401
        if program(code) is None:
            return original(code, cursor_pos, *arguments, **options)
        # Never ask IPython about a program: its words are not Python's names.
        return hover(code, cursor_pos) or {"status": "ok", "found": False, "data": {}, "metadata": {}}

    # For `unregister`, and so that registering twice does not wrap twice.
    do_inspect.original = original  # type: ignore[attr-defined]
    return do_inspect
