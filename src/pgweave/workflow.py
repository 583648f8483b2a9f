"""One workflow of a text: read, check, compile, draw, start.

Stands above grammar, compiler and runtime, and below everything that shows runs to people: `pgweave.api.Workflow` adds
what needs those (`run`, `start`, `design`, pictures in notebooks). No rule of the language is stated here.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, TypeVar, overload

from pgweave.compiler import lower, passes
from pgweave.grammar import parser
from pgweave.runtime.errors import PgweaveError
from pgweave.texts import bold_only, refuse_errors

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pgweave.compiler.graph import Graph
    from pgweave.compiler.subject import Target
    from pgweave.form_names import Emit, Format, Style
    from pgweave.grammar.diagnostics import Diagnostic
    from pgweave.grammar.nodes import Definition, Module
    from pgweave.grammar.span import Source, Span
    from pgweave.runtime.client import Client

FindingsByTarget: TypeAlias = "dict[Target, list[Diagnostic]]"

COMPUTED = "PW509"  # only the database can say what the rows are, which is no fault of the program


class RunFailed(PgweaveError):
    """A workflow ended as failed or cancelled. instance_id, status and error say how; explanation where in the text."""

    def __init__(self, instance_id: str, status: str, error: Mapping[str, Any] | None, explanation: str = "") -> None:
        self.instance_id = instance_id
        self.status = status
        self.error = error
        self.explanation = explanation
        super().__init__(f"instance {instance_id} {status}: {(error or {}).get('message', '')}".rstrip(": "))

    def _render_traceback_(self) -> list[str]:
        """What IPython shows: the step that failed, what the server said and what ran, without pgweave's traceback."""
        if not self.explanation:
            return [f"RunFailed: {self}"]
        head = f"RunFailed: instance {self.instance_id} {self.status}"
        return [head, "", *bold_only(self.explanation).splitlines()]


@dataclass(frozen=True)
class WorkflowSource:
    """One workflow of a text. `definition` is its AST, `module` everything else the text declares."""

    definition: Definition
    module: Module
    checked: FindingsByTarget = field(default_factory=dict, compare=False, repr=False)
    """What was found in all of the text, for each target: one dictionary for all workflows of the text."""

    def __repr__(self) -> str:
        return f"<Workflow {self.name}>"

    @property
    def name(self) -> str:
        """The label, or a name made from the file's."""
        return self.definition.name

    @property
    def label(self) -> str | None:
        """The label the instance will carry."""
        return self.definition.label.value if self.definition.label else None

    @property
    def text(self) -> str:
        """A statement that starts this workflow and no other, as `pgweave fmt` would write it; without comments."""
        from pgweave import forms  # lazy: start-up, checking needs no networkx

        return forms.text(self.definition)

    @cached_property
    def graph(self) -> Graph:
        """Control flow, blocks and data flow as one networkx graph."""
        from pgweave import forms  # lazy: start-up, checking needs no networkx

        return forms.build_graph(self.definition)

    def check(self, target: Target = "pgweave") -> list[Diagnostic]:
        """Everything there is to say about this workflow, in the order of the text.

        target: pg_durable for what would differ there, too.
        """
        # The checks see all of the text, since workflows of one file may concern each other: it is checked once
        # for all of them.
        if target not in self.checked:
            self.checked[target] = _of_module(self.module, target)
        return [finding for finding in self.checked[target] if finding.span in self.definition.span]

    @property
    def computed(self) -> bool:
        """Whether it holds expressions that only the database can evaluate: it can be started, but not lowered to rows."""
        return any(finding.code == COMPUTED for finding in lower.refusals(self.definition))

    def compile(self, emit: Emit, *, style: Style | None = None) -> str:
        """Compile to text. ProgramError when a check finds an error, or it holds what only the database can evaluate.

        style: of `sql`, a script that inserts the node `rows`, or one that calls df.start; of `rows`, `json` or `table`.
        """
        from pgweave import forms  # lazy: start-up, checking needs no networkx

        refuse_errors(self.check(), self.module.source)
        return forms.emit(self.module, self.definition, emit, style)

    def render(
        self,
        format: Format = "svg",  # noqa: A002 - what everybody calls it
        *,
        state: Mapping[int | str, str] | None = None,
        dark: bool = False,
        depth: int | Literal["readable"] | None = None,
    ) -> bytes:
        """Draw it.

        state: the state of each row, by position in pre-order; rows of a child by the id of its node in the graph.
        depth: levels of blocks to show; what is deeper becomes one box. "readable": fold what makes a picture too large
        to read. None: show everything.
        """
        from pgweave import forms  # lazy: start-up, checking needs no networkx

        return forms.render(self.graph, self.name, format, state=state, dark=dark, depth=depth)


W = TypeVar("W", bound=WorkflowSource)


@overload
def load_source(source: Source) -> list[WorkflowSource]: ...
@overload
def load_source(source: Source, kind: type[W]) -> list[W]: ...
def load_source(source: Source, kind: type[Any] = WorkflowSource) -> list[Any]:
    """Read every workflow of a text, as objects of class `kind`. ProgramError when there is a syntax error in any of them."""
    parsed = parser.parse(source)
    refuse_errors(parsed.diagnostics, source)
    return workflows_of(parsed.module, kind)


def workflows_of(module: Module, kind: type[W]) -> list[W]:
    """Every workflow of a text that has been read. The text is checked once for all of them."""
    checked: FindingsByTarget = {}
    return [kind(definition, module, checked) for definition in module.definitions]


def single(workflows: Sequence[W], source: Source) -> W:
    """The one workflow of a text. PgweaveError when there are none or several."""
    if len(workflows) != 1:
        names = ", ".join(workflow.name for workflow in workflows) or "none"
        raise PgweaveError(
            f"{source.name} holds {len(workflows)} workflows ({names}), not one.",
            "Use pgweave.load_all(path) for a file with several."
            if workflows
            else "Write one: df.start('SELECT 1', 'name');",
        )
    return workflows[0]


def findings(source: Source, target: Target = "pgweave") -> list[Diagnostic]:
    """Everything there is to say about a text, in its order, whether it can be read or not.

    target: pg_durable for what would differ there, too.
    """
    parsed = parser.parse(source)
    # A statement that cannot be read says nothing about the others: they are checked all the same.
    return sorted([*parsed.diagnostics, *_of_module(parsed.module, target)], key=_place)


def _of_module(module: Module, target: Target) -> list[Diagnostic]:
    """What the checks and the lowering say about the workflows of a text, in its order."""
    refusals = [
        finding
        for definition in module.definitions
        for finding in lower.refusals(definition)
        if finding.code != COMPUTED
    ]
    return sorted([*passes.check(module, target=target), *refusals], key=_place)


def _place(finding: Diagnostic) -> tuple[Span, str]:
    return finding.span, finding.code


def start(
    client: Client, workflow: WorkflowSource, label: str | None = None, variables: Mapping[str, str] | None = None
) -> str:
    """Start it and return the instance id.

    variables: instead of what its text declares. Both are for this start alone and change nothing of the role's.
    """
    # SELECT df.start('..', label => f(x)): only the statement around it knows the label.
    if workflow.definition.computed:
        names = " and ".join(workflow.definition.computed)
        raise PgweaveError(
            f"{workflow.name} takes its {names} from the SQL around it.", "Run that SQL in the database instead."
        )
    declared = {variable.name: variable.value for variable in workflow.module.variables if variable.value is not None}
    given = {**declared, **(variables or {})}
    definition = workflow.definition
    if workflow.computed:
        # The database evaluates the expression as it is written, with the rights of the session.
        return client.evaluate(
            definition.node.span.of(workflow.module.source.text), label or workflow.label, variables=given
        )
    return client.start(
        workflow.compile("tree"),
        label or workflow.label,
        database=definition.database.value if definition.database else None,
        transaction_mode=definition.transaction_mode,
        variables=given,
    )
