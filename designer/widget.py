"""The designer in a notebook: `workflow.design()`, or `Designer(text)`.

The widget is one more view of a session like the studio's pages; what is typed on the canvas is `designer.text` in the
next cell, and what a cell assigns to `designer.text` is merged into what is typed, like any other change. Shown
twice, it is one document in two views.
"""

from __future__ import annotations

from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, Any

import anywidget

from pgweave.designer.answers import SLOW, handle
from pgweave.designer.disk import File
from pgweave.designer.document import Document
from pgweave.designer.file_sync import Keeper
from pgweave.designer.operator import Operator
from pgweave.designer.session import Session
from pgweave.grammar.span import Source
from pgweave.observe.display import Findings
from pgweave.observe.picture_bundles import of_workflow
from pgweave.runtime.errors import PgweaveError
from pgweave.workflow import WorkflowSource, load_source, single

if TYPE_CHECKING:
    from pgweave.designer.views import Message
    from pgweave.grammar.diagnostics import Diagnostic

CELL = "workflow.df"  # what a text is called that has no file


class Designer(anywidget.AnyWidget):
    """A canvas and its text.

    path: the file that it is kept in, if it is; saved there by Ctrl-S or `save`. name: what the text is called without
    one; a suffix such as .sql tells its form. dsn: of the database that runs are started on; by default this session's.
    kind: the class of `workflow` and `workflows`; `workflow.design()` gives its own.
    """

    _esm = Path(__file__).with_name("static") / "designer.js"

    def __init__(
        self,
        text: str = "",
        *,
        path: str | Path | None = None,
        name: str = CELL,
        dsn: str | None = None,
        kind: type[WorkflowSource] = WorkflowSource,
    ) -> None:
        super().__init__()
        self._kind = kind
        document = Document(text)
        keeper = None
        if path is not None:
            file = File(path)
            keeper = Keeper(document, file, file.read())
        self._session = Session(
            document,
            name=name if path is None else str(path),
            home="widget",
            keeper=keeper,
            operator=Operator(dsn, None if path is None else Path(path)),
        )
        self._session.join(_Front(self))
        self.on_msg(self._receive)

    def __repr__(self) -> str:
        return f"<Designer {self._session.name}>"

    @property
    def text(self) -> str:
        """The program as it is now. Assign to it, and every view follows; undo there undoes their own changes only."""
        return self._session.document.text

    @text.setter
    def text(self, text: str) -> None:
        self._session.change(text)

    @property
    def workflow(self) -> WorkflowSource:
        """The one workflow of the text. ProgramError when it does not parse, PgweaveError when there is not one."""
        source = Source(self._session.name, self.text)
        return single(load_source(source, self._kind), source)

    @property
    def workflows(self) -> list[WorkflowSource]:
        """All workflows of the text. ProgramError when it does not parse."""
        source = self._session.current(self._session.document.version).module.source
        return load_source(source, self._kind)

    @property
    def findings(self) -> list[Diagnostic]:
        """Everything there is to say about the text, whether it parses or not."""
        drawn = self._session.draw()
        return Findings(drawn.findings, drawn.parsed.module.source)

    def save(self, path: str | Path | None = None) -> Path:
        """Write the text to its file, or to another, which it is kept in from then on. Returns which.

        PgweaveError when it cannot be written, or another program has changed the same lines of the file.
        """
        session = self._session
        if path is not None:
            file = File(path)
            session.keeper, session.name = Keeper(session.document, file, file.read()), str(path)
            session.keeper.resolve("mine")
        if session.keeper is None:
            raise PgweaveError("This text has no file.", "Say which: designer.save('nightly.df').")
        if session.keeper.save().get("conflict"):
            raise PgweaveError(
                f"{session.name} was changed by another program, in the same lines.",
                "Choose in the designer which to keep, or save to another file.",
            )
        return session.keeper.file.path

    def _repr_mimebundle_(self, **options: Any) -> tuple[dict[str, Any], dict[str, Any]]:  # noqa: ANN401 - passed on
        """The widget, and a picture for where there are none: on GitHub, or when the notebook is opened again."""
        data, metadata = super()._repr_mimebundle_(**options) or ({}, {})
        try:
            fallback: dict[str, Any] = dict(of_workflow(self.workflow))
        except PgweaveError:
            fallback = {"text/plain": self.text}
        return {**data, **fallback}, metadata

    def _receive(self, widget: object, content: object, buffers: object) -> None:
        """Handle a request of the front end; the reply is a message of the same id. Slow requests do not block the kernel."""
        arguments = self._session, self._session.views[0], content
        if isinstance(content, dict) and content.get("type") in SLOW:
            Thread(target=handle, args=arguments, name="pgweave designer", daemon=True).start()
        else:
            handle(*arguments)


class _Front:
    """Every view of one widget: a message to the model reaches all of them."""

    def __init__(self, widget: Designer) -> None:
        self._widget = widget

    def send(self, message: Message) -> None:
        """Send an event; from any thread."""
        self._widget.send(dict(message))


def design(workflow: WorkflowSource, dsn: str | None = None) -> Designer:
    """A designer of the text that a workflow comes from, with all else in it; kept in its file if it came from one."""
    source = workflow.module.source
    path = Path(source.name)
    try:
        is_file = path.is_file() and path.read_bytes() == source.text.encode()
    except OSError:  # a name that is none of a file
        is_file = False
    text = source.text.removeprefix("\ufeff")
    return Designer(text, path=path if is_file else None, name=source.name, dsn=dsn, kind=type(workflow))
