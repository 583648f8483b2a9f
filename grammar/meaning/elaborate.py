"""Concrete tree -> values -> nodes: what each expression means, bottom up, as PostgreSQL would evaluate it.

The walk is a loop over the tree in post-order, because a tree may be as deep as the text is long.
"""

from __future__ import annotations

import re
from dataclasses import replace
from difflib import get_close_matches
from pathlib import PurePath
from typing import TYPE_CHECKING

from pgweave.grammar import nodes
from pgweave.grammar.catalogue import phrase
from pgweave.grammar.diagnostics import Edit, Severity, finding, note, rated
from pgweave.grammar.kinds import CALLS, EXPLAIN, MAX_DEPTH, MAX_NODES, MAX_TEXT, NON_STEP_CALLS, SETVAR, START
from pgweave.grammar.meaning import fold
from pgweave.grammar.meaning.call_arguments import bind
from pgweave.grammar.meaning.calls import build
from pgweave.grammar.meaning.durofut import BadStep, half_built
from pgweave.grammar.meaning.static_values import (
    BooleanValue,
    BrokenValue,
    NullValue,
    NumberValue,
    OpaqueValue,
    PartialIf,
    StepValue,
    TextValue,
    Value,
    describe,
    steps_in,
)
from pgweave.grammar.meaning.steps import as_step, bind_name, dangling
from pgweave.grammar.nodes import Definition, Text, Variable
from pgweave.grammar.reading import syntax
from pgweave.grammar.reading.lexer import DSL_OPERATORS, KNOWN_OPERATORS, QUOTED, WORD
from pgweave.grammar.span import Span

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pgweave.grammar.meaning.finding_report import Report
    from pgweave.grammar.nodes import Node
    from pgweave.grammar.reading.lexer import Token


# df.explain('a1b2c3d4') is about an instance: eight hexadecimal digits, so there is no graph to read here.
_INSTANCE_ID = re.compile("[0-9A-Fa-f]{8}")
# An operator or a call anywhere is enough: `explain` has no other way to tell 'df.sleep(1)' from 'SELECT 1'.
_EXPRESSION = re.compile(r"~>|\|=>|\?>|!>|@>|\bdf\.")  # what df.explain takes for an expression, not for SQL
# Types that nothing in df takes, and operators whose result is one of them.
_FOREIGN_TYPES = frozenset({"interval", "date", "time", "timetz", "timestamp", "timestamptz", "uuid", "bytea"})
# Between texts too these give a boolean: `'a' = 'b'` is a value that the database could compute, but never a
# step.
_TESTS = frozenset({"=", "<>", "!=", "<", ">", "<=", ">=", "and", "or", "between and", "like", "ilike", "similar"})
_CALLED = frozenset({*CALLS, "start", "explain", "setvar"})
# What functions of PostgreSQL give that no argument of a df call can take.
_RESULTS = {
    **dict.fromkeys(
        ("acos", "asin", "atan", "atan2", "cbrt", "cos", "cot", "degrees", "pi", "radians", "random", "sin", "tan"),
        "double precision",
    ),
    **dict.fromkeys(("extract", "to_number"), "numeric"),
    **dict.fromkeys(("now", "clock_timestamp", "statement_timestamp", "transaction_timestamp", "to_timestamp"), "timestamptz"),
    **dict.fromkeys(("gen_random_uuid", "uuidv4", "uuidv7"), "uuid"),
    **dict.fromkeys(("age", "justify_days", "justify_hours", "make_interval"), "interval"),
    **dict.fromkeys(("make_date", "to_date"), "date"),
    **dict.fromkeys(("bool_and", "bool_or", "starts_with"), "boolean"),
}  # fmt: skip
# Names that PostgreSQL reads as values, though they look like those of columns.
_WITHOUT_TABLE = frozenset(
    {
        "current_catalog", "current_date", "current_role", "current_schema", "current_time", "current_timestamp",
        "current_user", "localtime", "localtimestamp", "session_user", "system_user", "user",
    }
)  # fmt: skip
_TYPE_LENGTH = re.compile(r"\(\s*([0-9]{1,9})\s*\)")
_SQL_TEXT = re.compile(r"\s*(?:select|insert|update|delete|with|call|values|merge)\b", re.IGNORECASE)
_DSL_CHARACTERS = frozenset("".join(DSL_OPERATORS))
# Operators of PostgreSQL that have no meaning between two bare literals, and the operators that are meant by them.
_SLIPS = {"&&": "&", "->": "~>", "->>": "~>", ">>": "~>", "|>": "~>", "=>>": "~>"}
# Between two bare literals PostgreSQL has either several of these (`'a' && 'b'`: operator is not unique) or one
# for jsonb (`'a' ? 'b'`: no JSON), so a slip is certain. With a column on one side nothing is said.
_NONE_FOR_TEXT = frozenset(
    {"&&", "->", "->>", ">>", "<<", "#>", "#>>", "#", "?", "?|", "?&", "@>", "<@", "@?", "&<", "&>"}
)
# replace(replace(..)) and format('%1$s%1$s', ..) double a text at every level: without a limit on the sum,
# thirty nested calls of a short program would need gigabytes.
_FOLD_BUDGET = 20 * MAX_TEXT  # characters that folding may write for one program


class Elaborator:
    """Reads the statements of one program. definitions and variables grow as it goes.

    read: parses a text that is an expression, for df.explain; returns nothing after reporting what is wrong with it.
    """

    def __init__(self, report: Report, read: Callable[[Text], Sequence[syntax.Expr]] = lambda _: ()) -> None:
        self.report = report
        self._read = read
        self.definitions: list[Definition] = []
        self.variables: list[Variable] = []
        self._values: dict[syntax.Expr, Value] = {}
        self._budget = _FOLD_BUDGET
        self._embedded = False

    def target(self, expr: syntax.Expr, *, selected: bool = False) -> None:
        """Read one statement's expression: df.start, df.explain, df.setvar or a bare workflow. selected: by a SELECT."""
        self._embedded = False
        # (df.start('SELECT 1')) is a statement of SQL like df.start('SELECT 1').
        core = expr
        while isinstance(core, syntax.Parens):
            core = core.inner
        name = core.df_name if isinstance(core, syntax.CallExpr) else None
        if isinstance(core, syntax.CallExpr) and name in ("start", "explain", "setvar"):
            arguments = self._arguments(core)
            if name == "setvar":
                self._set_variable(arguments, core.span)
            else:
                self._start(name, arguments, core.span)
            return
        if name in NON_STEP_CALLS:
            self.report.add("PW024", core.span, "answer", call=f"df.{name}")
            return
        value = self.evaluate(expr)
        # A bare `now()` might be a step that the database computes, SELECT now() is a query that somebody put
        # into the file. With a step inside, SELECT concat('a' ~> 'b', x), it was meant as a workflow.
        if selected and isinstance(value, OpaqueValue) and not value.operands:  # SELECT now()
            self.report.add("PW024", expr.span)
            return
        node = as_step(value, self.report)
        if node is not None:
            self._define(node, expr.span)

    def embedded(self, expr: syntax.Expr) -> None:
        """Read one df.start, df.explain or df.setvar that stands within SQL, where arguments may be columns or variables."""
        if not isinstance(expr, syntax.CallExpr):
            return
        self._embedded = True
        arguments = self._arguments(expr)
        if expr.df_name != "setvar":
            self._start(expr.df_name or "", arguments, expr.span, embedded=True)
        # SELECT df.setvar(name, value) FROM settings: which variables that sets only the database knows.
        elif arguments and not isinstance(arguments[0][1], OpaqueValue):
            self._set_variable(arguments, expr.span)

    def forget(self, definitions: int, variables: int) -> None:
        """Keep only the first so many definitions and variables."""
        del self.definitions[definitions:]
        del self.variables[variables:]

    def _arguments(self, expr: syntax.CallExpr) -> list[tuple[Token | None, Value]]:
        return [(argument.name, self.evaluate(argument.value)) for argument in expr.arguments]

    def _start(
        self, name: str, arguments: list[tuple[Token | None, Value]], span: Span, *, embedded: bool = False
    ) -> None:
        call = START if name == "start" else EXPLAIN
        bound = bind(call, arguments, span, self.report)
        if bound is None:
            return
        first = bound.pop(call.params[0].name)
        if name == "explain" and isinstance(first, TextValue):
            # df.explain has three kinds of argument: the id of an instance, an expression in quotes, or a step.
            if _INSTANCE_ID.fullmatch(first.text.value.strip()):
                return
            # Durofut JSON may contain `~>` in the SQL of its steps, and is read as JSON by as_step below.
            if not first.text.value.lstrip().startswith("{") and _EXPRESSION.search(first.text.value):
                first = self._expression(first.text)
        node = as_step(first, self.report, "of-start" if name == "start" else "")
        # DECLARE v text; .. df.start('SELECT 1', label => v): in a function body that is no mistake, so the
        # name is kept as one that is given at run time. In a program nothing can fill it in (PW027,
        # _start_text).
        computed = tuple(key for key, value in bound.items() if isinstance(value, OpaqueValue)) if embedded else ()
        texts = {key: self._start_text(key, value) for key, value in bound.items() if key not in computed}
        mode = texts.get("transaction_mode")
        if mode is not None and mode.value.lower() not in ("caller", "new"):
            self.report.add("PW020", mode.span, "transaction-mode", mode=mode.value)
        if node is not None:
            self._define(
                node,
                span,
                label=texts.get("label"),
                database=texts.get("database"),
                transaction_mode="caller" if mode is None else mode.value.lower(),
                computed=computed,
            )

    def _expression(self, text: Text) -> Value:
        """What df.explain('..') makes of a text that is an expression of df."""
        exprs = self._read(text)
        return self.evaluate(exprs[0]) if len(exprs) == 1 else BrokenValue(span=text.span)

    def _start_text(self, name: str, value: Value) -> Text | None:
        """An argument of df.start besides the workflow: text, or NULL for the default."""
        match value:
            case TextValue():
                return value.text
            # df.start(.., label => NULL) is the same as no label. transaction_mode has a default that NULL
            # would replace, so there NULL goes on to PW019.
            case NullValue() if name != "transaction_mode":
                return None
            case BrokenValue():
                return None
            case OpaqueValue():
                self.report.add("PW027", value.outer, name=name)
            case _:
                what, expected = phrase("the-argument", name=name, call="start"), phrase("want-text")
                self.report.add("PW019", value.outer, what=what, expected=expected, actual=describe(value))
        return None

    def _define(
        self,
        node: Node,
        span: Span,
        *,
        label: Text | None = None,
        database: Text | None = None,
        transaction_mode: str = "caller",
        computed: tuple[str, ...] = (),
    ) -> None:
        if not _within_limits(node, self.report):
            return
        name = label.value if label is not None and label.value else self._name()
        self.definitions.append(
            Definition(
                node=node,
                name=name,
                span=span,
                label=label,
                database=database,
                transaction_mode=transaction_mode,
                computed=computed,
            )
        )

    def _name(self) -> str:
        """The file's name without its folder and suffix; from the second workflow on with its number."""
        # `<stdin>` and `<cell 3>` are names of sources without a file.
        stem = PurePath(self.report.source.name).stem.strip("<>") or "workflow"
        number = len(self.definitions) + 1
        return stem if number == 1 else f"{stem}-{number}"

    def _set_variable(self, arguments: list[tuple[Token | None, Value]], span: Span) -> None:
        bound = bind(SETVAR, arguments, span, self.report)
        if bound is None:
            return
        texts: dict[str, str | None] = {}
        for key, value in bound.items():
            match value:
                case TextValue():
                    texts[key] = value.text.value
                # The value may be anything, as it is only read at run time; the name has to be known, for the
                # checks look it up.
                case NullValue() | OpaqueValue() if key == "value":
                    texts[key] = None
                case BrokenValue():
                    return
                case _:
                    what, expected = phrase("the-argument", name=key, call="setvar"), phrase("want-text")
                    self.report.add("PW019", value.outer, what=what, expected=expected, actual=describe(value))
                    return
        name = texts["name"]
        assert name is not None
        self.variables.append(Variable(name, texts["value"], span))

    def evaluate(self, root: syntax.Expr) -> Value:
        """The value of an expression. Problems inside are reported once, where they stand."""
        values = self._values = {}
        for expr in syntax.post_order(root):
            value = self._evaluate(expr)
            for child in expr.children:  # only their parent reads them; kept, they would be the most of the memory
                del values[child]
            values[expr] = value
        return values[root]

    def _evaluate(self, expr: syntax.Expr) -> Value:
        match expr:
            case syntax.Literal():
                return self._literal(expr.token)
            case syntax.Parens():
                value = self._values[expr.inner]
                value.parens = expr.span  # in ((x)) the outer pair comes last and is the one that counts
                return value
            case syntax.Binary():
                return self._binary(expr)
            case syntax.CallExpr():
                return self._call(expr)
            case syntax.Prefix():
                return self._prefix(expr)
            case syntax.Cast():
                return self._cast(expr)
            case syntax.Array():
                return self._folded(expr, lambda items: fold.array(items, expr.span))
            case syntax.Broken():
                return BrokenValue(span=expr.span)
            case syntax.Column():
                return self._column(expr)
            case syntax.Row():
                return self._typed(self._opaque(expr), "record")
            case syntax.Chained():
                return self._chained(expr)
            case _:
                return self._opaque(expr)

    def _operands(self, expr: syntax.Expr) -> list[Value]:
        return [self._values[child] for child in expr.children]

    def _opaque(self, expr: syntax.Expr) -> Value:
        """Leave it to the database, keeping what is known inside."""
        operands = self._operands(expr)
        if any(isinstance(value, BrokenValue) for value in operands):
            return BrokenValue(span=expr.span)
        return OpaqueValue(span=expr.span, operands=steps_in(operands))

    def _typed(self, value: Value, kind: str) -> Value:
        """An opaque value of a type that no argument of a df call can take."""
        if isinstance(value, OpaqueValue):
            value.type = kind
        return value

    def _folded(self, expr: syntax.Expr, compute: Callable[[list[Value]], Value | None]) -> Value:
        operands = self._operands(expr)
        if any(isinstance(value, BrokenValue) for value in operands):
            return BrokenValue(span=expr.span)
        try:
            value = compute(operands)
        except fold.FoldError as error:
            self.report.add("PW026", error.span, error.case, values=error.fields)
            return BrokenValue(span=expr.span)
        if (
            isinstance(value, TextValue)
            # `||` is left out: it appends to the pieces of its left side, so that a chain costs nothing, and
            # counting all pieces at each of n operators would itself be quadratic.
            and isinstance(expr, syntax.CallExpr | syntax.Cast)
            and not self._affords(value)
        ):
            self.report.add("PW026", expr.span, "long-program")
            return BrokenValue(span=expr.span)
        return self._opaque(expr) if value is None else value

    def _affords(self, value: TextValue) -> bool:
        """Count what folding has written so far: calls inside of calls may copy the same text again and again."""
        self._budget -= sum(len(piece.value) + len(piece.anchors) for piece in value.pieces)
        return self._budget >= 0

    def _column(self, expr: syntax.Column) -> Value:
        """A name. A program has no tables, so what is written in double quotes was meant as text."""
        name = expr.parts[0]
        # df.start("SELECT 1") is the mistake of people who come from MySQL. Within SQL, "SELECT 1" could be a
        # column, so there it takes a verb at the start to say so.
        if len(expr.parts) == 1 and name.kind == QUOTED and (not self._embedded or _SQL_TEXT.match(name.value)):
            shown = name.value if len(name.value) <= 40 else name.value[:37] + ".."
            self.report.add("PW028", expr.span, text=shown)
            return BrokenValue(span=expr.span)
        value = self._opaque(expr)
        return value if self._embedded or name.value in _WITHOUT_TABLE else self._typed(value, "column")

    def _chained(self, expr: syntax.Chained) -> Value:
        first, second = expr.first.value.upper(), expr.second.value.upper()
        variant = "chained-twice" if first == second else "chained"
        notes = (note("PW001", expr.first.span, variant, first=first),)
        self.report.add("PW001", expr.second.span, variant, second=second, notes=notes)
        return BrokenValue(span=expr.span)

    def _literal(self, token: Token) -> Value:
        span = token.span
        if token.type == "STRING":
            # unknown: 'x' without a cast is of type unknown in PostgreSQL. df.sleep('60') works for that
            # reason, df.sleep('60'::text) does not.
            return TextValue(span=span, pieces=[Text(token.value, span, token.anchors)], unknown=True)
        if token.type == "NUMBER":
            try:
                return fold.number(token.value, span)
            except fold.FoldError as error:
                self.report.add("PW026", error.span, error.case, values=error.fields)
                return BrokenValue(span=span)
        if token.value == "null":
            return NullValue(span=span)
        return BooleanValue(span=span, value=token.value == "true")

    def _cast(self, expr: syntax.Cast) -> Value:
        value = self._values[expr.inner]
        # (df.sleep(1))::text is the same step: the functions of df return text, which is Durofut JSON.
        if isinstance(value, StepValue) and expr.type in ("text", "varchar"):
            return StepValue(span=expr.span, node=value.node)
        # `df.start 'SELECT 1'`, the parentheses forgotten, is grammatical: type 'literal', as in `date
        # '2026-01-01'`.
        if expr.type.startswith("df.") and expr.start < expr.inner.start and isinstance(expr.inner, syntax.Literal):
            found = f"`{self.report.written(expr.inner.span)[:40]}`"  # to PostgreSQL, of a type called df.start
            self.report.add("PW001", expr.inner.span, "no-parentheses", found=found)
            return BrokenValue(span=expr.span)
        # '1 hour'::interval. The value is not looked at (is it an interval at all?), the type is enough to
        # refuse it as an argument.
        if expr.type in _FOREIGN_TYPES and not isinstance(value, BrokenValue):
            return OpaqueValue(span=expr.span, operands=steps_in([value]), type=expr.type)
        length = self._length(expr)
        return self._folded(expr, lambda operands: fold.cast(operands[0], expr.type, expr.span, length))

    def _length(self, expr: syntax.Cast) -> int | None:
        """The n of varchar(n), wherever the type stands; None where it is not a plain number."""
        if not expr.type.endswith("(..)"):
            return None
        # x::varchar(6) and CAST(left(x, 3) AS varchar(6)): only what stands behind the operand is searched, as
        # the operand may have numbers in parentheses too.
        behind = Span(expr.inner.span.end, expr.span.end) if expr.start == expr.inner.start else expr.span
        numbers = _TYPE_LENGTH.findall(self.report.written(Span(max(behind.start, expr.inner.span.end), behind.end)))
        return int(numbers[-1]) if numbers else None

    def _prefix(self, expr: syntax.Prefix) -> Value:
        operator = expr.operator
        # Only numbers are folded. -'a' stays opaque: what PostgreSQL says to it is "operator is not unique".
        if operator.type == "SIGN":
            return self._folded(expr, lambda operands: fold.signed(operator.value, operands[0], expr.span))
        if operator.value != "@>":
            if self._is_misspelt(operator.value, [self._values[expr.operand]]):
                return self._misspelt(expr, operator)
            return self._opaque(expr)
        body = as_step(self._values[expr.operand], self.report)
        if body is None:
            return BrokenValue(span=expr.span)
        return StepValue(span=expr.span, node=nodes.Loop(body=body, span=expr.span, operator=operator.span))

    def _binary(self, expr: syntax.Binary) -> Value:
        operator = expr.operator
        symbol = operator.value
        left, right = self._values[expr.left], self._values[expr.right]
        if symbol in ("~>", "&", "|"):
            return self._compose(expr, symbol, left, right)
        if symbol == "|=>":
            return self._bind(expr, left, right)
        if symbol == "?>":
            return self._half_if(expr, left, right)
        if symbol == "!>":
            return self._whole_if(expr, left, right)
        if self._is_misspelt(symbol, (left, right)):
            return self._misspelt(expr, operator)
        # 'a' ~> 'b' || 'c' is ('a' ~> 'b') || 'c': all operators that PostgreSQL does not name in its grammar
        # are on one level and group from the left, so `||` would append text to the JSON of a step.
        if any(isinstance(side, StepValue | PartialIf) for side in (left, right)):
            return self._corrupts(expr)
        if symbol == "||":
            return self._folded(expr, lambda sides: fold.concatenate(sides[0], sides[1], expr.span))
        if symbol in ("+", "-", "*", "/", "%"):
            return self._folded(expr, lambda sides: fold.arithmetic(symbol, sides[0], sides[1], expr.span))
        value = self._opaque(expr)
        if symbol in _TESTS:
            return self._typed(value, "boolean")
        # 2 ^ 3 is double precision, 2.0 ^ 3 numeric: neither can be the integer that df.sleep wants.
        if symbol == "^" and all(isinstance(side, NumberValue) for side in (left, right)):
            numeric = any(isinstance(side, NumberValue) and not isinstance(side.number, int) for side in (left, right))
            return self._typed(value, "numeric" if numeric else "double precision")
        return value

    def _is_misspelt(self, symbol: str, sides: Sequence[Value]) -> bool:
        """Whether this operator on texts and steps can only be a slip: `'a' && 'b'`, `'a' -> 'b'`, `df.sleep(1) ~>> 'b'`."""
        if symbol in _NONE_FOR_TEXT:
            return all(isinstance(side, TextValue) and side.unknown for side in sides)
        if symbol in KNOWN_OPERATORS or not set(symbol) <= _DSL_CHARACTERS:
            return False
        return all(isinstance(side, TextValue | StepValue | PartialIf) for side in sides)

    def _misspelt(self, expr: syntax.Expr, operator: Token) -> Value:
        symbol = operator.value
        # 0.3: one common character is enough, as `~>>` has with `~>`. A wrong guess does little harm, since the
        # help lists all operators.
        near = _SLIPS.get(symbol) or next(iter(get_close_matches(symbol, DSL_OPERATORS, 1, 0.3)), "~>")
        self.report.add("PW005", operator.span, "prefix" if symbol == "@>" else "", operator=symbol, near=near)
        return BrokenValue(span=expr.span)

    def _corrupts(self, expr: syntax.Binary) -> Value:
        symbol, step = expr.operator.value.upper(), expr.left
        if not isinstance(self._values[step], StepValue | PartialIf):
            step = expr.right
        self.report.add("PW106", expr.operator.span, operator=symbol, notes=(note("PW106", step.span),))
        return BrokenValue(span=expr.span)

    def _compose(self, expr: syntax.Binary, symbol: str, left: Value, right: Value) -> Value:
        # `c ?> a ~> b !> d`: all operators have one level, so `~>` takes `c ?> a` as its left side. The right
        # side is read all the same, to report what is wrong in it.
        if isinstance(left, PartialIf):
            return self._taken(expr, left, as_step(right, self.report) is not None)
        first, second = as_step(left, self.report), as_step(right, self.report)
        if first is None or second is None:
            return BrokenValue(span=expr.span)
        span, operator = expr.span, expr.operator.span
        node: Node
        if symbol == "~>":
            node = nodes.Then(first=first, second=second, span=span, operator=operator)
        elif symbol == "&":
            node = nodes.Join(branches=(first, second), span=span, operator=operator)
        else:
            node = nodes.Race(left=first, right=second, span=span, operator=operator)
        return StepValue(span=span, node=node)

    def _taken(self, expr: syntax.Binary, left: PartialIf, whole: bool) -> Value:
        """An operator has a half-built if as its left side: in `c ?> a ~> b !> d`, which groups as `((c ?> a) ~> b) !> d`.

        It is reported when the `!>` comes, with parentheses as the fix, or when it is clear that none does.
        """
        if not whole:
            return BrokenValue(span=expr.span)
        # (c ?> a) ~> b: no `!>` can reach into the parentheses, so it is reported now.
        if left.parens is not None:
            dangling(replace(left, taken=left.taken or expr.operator.span), self.report)
            return BrokenValue(span=expr.span)
        return replace(left, span=expr.span, taken=left.taken or expr.operator.span)

    def _bind(self, expr: syntax.Binary, left: Value, right: Value) -> Value:
        if isinstance(left, PartialIf):
            return self._taken(expr, left, not isinstance(right, BrokenValue))
        node = as_step(left, self.report)
        if isinstance(right, NullValue):  # |=> is strict: its result is NULL, whatever stands on the left
            self.report.add("PW021", right.outer, what=phrase("the-name"))
        if node is None or isinstance(right, BrokenValue | NullValue):
            return BrokenValue(span=expr.span)
        match right:
            case TextValue():
                named = bind_name(node, right.text, expr.span, expr.operator.span, expr.left.span, self.report)
                return BrokenValue(span=expr.span) if named is None else StepValue(span=expr.span, node=named)
            case OpaqueValue() if self._is_bare_name(expr.right):
                edits = (Edit(right.span, f"'{right.span.of(self.report.source.text)}'"),)
                self._no_name(right.span, phrase("is-column"), edits)
            # The name is computed: `|=> concat('a', x)`. The whole is a step that only the database knows.
            case OpaqueValue():
                return OpaqueValue(span=expr.span, operands=(node, *right.operands))
            case _:
                self._no_name(right.outer, describe(right))
        return BrokenValue(span=expr.span)

    def _no_name(self, span: Span, actual: str, edits: tuple[Edit, ...] = ()) -> None:
        """What stands behind `|=>` is no text. actual: what it is, in words."""
        what, expected = phrase("the-name"), phrase("want-text")
        self.report.add("PW019", span, what=what, expected=expected, actual=actual, edits=edits, safe=True)

    def _is_bare_name(self, expr: syntax.Expr) -> bool:
        """`'SELECT 1' |=> one`, in a program, where no column can be meant."""
        return not self._embedded and isinstance(expr, syntax.Column) and [part.kind for part in expr.parts] == [WORD]

    def _half_if(self, expr: syntax.Binary, left: Value, right: Value) -> Value:
        if isinstance(left, PartialIf):
            dangling(replace(left, taken=left.taken or expr.operator.span), self.report)
            return BrokenValue(span=expr.span)
        condition, then_branch = as_step(left, self.report), as_step(right, self.report)
        if condition is None or then_branch is None:
            return BrokenValue(span=expr.span)
        return PartialIf(span=expr.span, condition=condition, then_branch=then_branch, operator=expr.operator.span)

    def _whole_if(self, expr: syntax.Binary, left: Value, right: Value) -> Value:
        else_branch = as_step(right, self.report)
        # '{"_partial_if": true, ..}' !> 'd': what `?>` returns, copied out of a database.
        if isinstance(left, TextValue):
            left = self._written_half(left, expr.operator) or left
        if isinstance(left, PartialIf) and left.taken is not None:
            # c ?> a ~> b !> d becomes c ?> (a ~> b) !> d: from the first step of the branch to the end of all
            # that came before `!>`.
            start, end = left.then_branch.outer.start, expr.left.end
            edits = (Edit(Span(start, start), "("), Edit(Span(end, end), ")"))
            dangling(left, self.report, "branch", edits)
            return BrokenValue(span=expr.span)
        if isinstance(left, PartialIf) and else_branch is not None:
            node = nodes.If(
                condition=left.condition,
                then_branch=left.then_branch,
                else_branch=else_branch,
                span=expr.span,
                operator=expr.operator.span,
            )
            return StepValue(span=expr.span, node=node)
        if isinstance(left, PartialIf | BrokenValue):
            return BrokenValue(span=expr.span)
        if isinstance(left, OpaqueValue):  # may be a half-built if, when the database has computed it
            if else_branch is None:
                return BrokenValue(span=expr.span)
            return OpaqueValue(span=expr.span, operands=(*left.operands, else_branch))
        notes = (note("PW020", expr.left.span, "no-half-if"),)
        self.report.add("PW020", expr.operator.span, "no-half-if", notes=notes)
        return BrokenValue(span=expr.span)

    def _written_half(self, value: TextValue, operator: Token) -> Value | None:
        """What `?>` gives, written as the JSON that it is."""
        try:
            parts = half_built(value.text, value.span)
        except BadStep:
            return None
        if parts is None:
            return None
        return PartialIf(span=value.span, condition=parts[0], then_branch=parts[1], operator=operator.span)

    def _call(self, expr: syntax.CallExpr) -> Value:
        name = expr.df_name
        if name is None:
            plain = expr.plain_name
            # Named arguments would have to be put in order first; these functions have no names for theirs, so
            # PostgreSQL refuses them.
            if plain in fold.FUNCTIONS and all(argument.name is None for argument in expr.arguments):
                return self._folded(expr, lambda values: fold.call(plain, values, expr.span))
            # Within SQL a function sleep() of the user's own is likelier than a forgotten `df.`.
            if plain in _CALLED and not self._embedded:
                self._without_schema(plain, expr.name.span)
            value = self._opaque(expr)
            kind = _RESULTS.get(plain or "")
            return self._typed(value, kind) if kind else value
        call = CALLS.get(name)
        arguments = [(argument.name, self._values[argument.value]) for argument in expr.arguments]
        # No row of CALLS: it makes no node of its own, it only reads its argument as a step.
        if name == "ensure_durofut" and [word.value if word else "fut" for word, _ in arguments] == ["fut"]:
            return self._ensured(expr, arguments[0][1])
        if call is None:
            return self._no_step(expr, name)
        bound = bind(call, arguments, expr.span, self.report)
        if bound is None:
            return BrokenValue(span=expr.span)
        return build(call, bound, expr.span, self.report)

    def _ensured(self, expr: syntax.CallExpr, value: Value) -> Value:
        """`df.ensure_durofut('SELECT 1')`: what every place of a step does by itself."""
        node = as_step(value, self.report)
        if node is None:
            return BrokenValue(span=expr.span)
        return StepValue(span=expr.span, node=replace(node, span=expr.span, parens=None))

    def _without_schema(self, name: str, where: Span) -> None:
        """`sleep(5)`: a warning, since a schema of the search_path may have a function of that name."""
        edits = (Edit(Span(where.start, where.start), "df."),)
        found = finding("PW013", where, "near", call=name, near=name, edits=edits)
        self.report.diagnostics.append(rated(found, Severity.WARNING))

    def _no_step(self, expr: syntax.CallExpr, name: str) -> Value:
        where = expr.name.span
        if name in NON_STEP_CALLS:
            # df.getvar is evaluated by the session that starts the workflow; df.signal or df.status as a step
            # are PW504.
            if name == "getvar":  # gives plain text, when the workflow is started: SQL like any other
                return self._opaque(expr)
            self.report.add("PW504", where, call=f"df.{name}")
            return BrokenValue(span=expr.span)
        close = get_close_matches(name, [*CALLS, *NON_STEP_CALLS], 1, 0.6)
        if close:
            edits = (Edit(expr.name.parts[1].span, close[0]),)
            self.report.add("PW013", where, "near", call=f"df.{name}", near=close[0], edits=edits)
        else:
            self.report.add("PW013", where, call=f"df.{name}", calls=", ".join(sorted(CALLS)))
        return BrokenValue(span=expr.span)


def _within_limits(root: Node, report: Report) -> bool:
    """Check depth and number of nodes, counted as rows: a called child is two more rows, its graph is counted by itself."""
    # A stack of our own, since MAX_DEPTH is a limit of programs and not of Python: a chain of 10,000 `~>` has
    # to get here to be refused.
    stack: list[tuple[Node, int]] = [(root, 0)]
    count = 0
    while stack:
        node, depth = stack.pop()
        count += 1
        if isinstance(node, nodes.CallChild):
            count += 2
        if depth + isinstance(node, nodes.CallChild) > MAX_DEPTH:
            report.add("PW011", root.span if depth == 0 else node.span)
            return False
        if count > MAX_NODES:
            report.add("PW012", root.span)
            return False
        stack.extend((child, depth + 1) for child in nodes.children(node))
    return True
