"""The designer in a notebook: `workflow.design()`, or `Designer(text)`.

The widget is one more view of a session like the studio's pages; what is typed on the canvas is `designer.text` in the
next cell, and what a cell assigns to `designer.text` is merged into what is typed, like any other hand's change. Shown
twice, it is one document in two views.
"""

from __future__ import annotations

from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, Any

import anywidget

from pgweave.designer.disk import File
from pgweave.designer.document import Document
from pgweave.designer.file_sync import Keeper
from pgweave.designer.operator import Operator
from pgweave.designer.session import SLOW, Session
from pgweave.runtime.errors import PgweaveError
from pgweave.workflow import Workflow, load_source, parse

if TYPE_CHECKING:
    from pgweave.designer.session import Message
    from pgweave.grammar.diagnostics import Diagnostic

CELL = "workflow.df"  # what a text is called that has no file


class Designer(anywidget.AnyWidget):
    """A canvas and its text.

    path: the file that it is kept in, if it is; saved there by Ctrl-S or `save`. name: what the text is called without
    one; a suffix such as .sql tells its form. dsn: of the database that runs are started on; by default this session's.
    """

    _esm = Path(__file__).with_name("static") / "designer.js"

    def __init__(
        self, text: str = "", *, path: str | Path | None = None, name: str = CELL, dsn: str | None = None
    ) -> None:
        super().__init__()
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
    def workflow(self) -> Workflow:
        """The one workflow of the text. ProgramError when it does not parse, PgweaveError when there is not one."""
        return parse(self.text, self._session.name)

    @property
    def workflows(self) -> list[Workflow]:
        """All workflows of the text. ProgramError when it does not parse."""
        return load_source(self._session.current(self._session.document.version).module.source)

    @property
    def findings(self) -> list[Diagnostic]:
        """Everything there is to say about the text, whether it parses or not."""
        from pgweave.observe.display import Findings

        drawn = self._session.draw()
        return Findings(drawn.findings, drawn.parsed.module.source)

    def save(self, path: str | Path | None = None) -> Path:
        """Write the text to its file, or to another, which it is kept in from then on. Returns which.

        PgweaveError when it cannot be written, or somebody else has changed the same lines of the file.
        """
        session = self._session
        if path is not None:
            file = File(path)
            session.keeper, session.name = Keeper(session.document, file, file.read()), str(path)
            session.keeper.resolve("mine")
        if session.keeper is None:
            raise PgweaveError("This text is kept in no file.", "Say which: designer.save('nightly.df').")
        if session.keeper.save().get("conflict"):
            raise PgweaveError(
                f"{session.name} was changed by somebody else, in the same lines.",
                "Choose in the designer which to keep, or save to another file.",
            )
        return session.keeper.file.path

    def _repr_mimebundle_(self, **options: Any) -> tuple[dict[str, Any], dict[str, Any]]:  # noqa: ANN401 - passed on
        """The widget, and a picture for where there are none: on GitHub, or when the notebook is opened again."""
        from pgweave.observe.display import picture

        data, metadata = super()._repr_mimebundle_(**options) or ({}, {})
        try:
            fallback: dict[str, Any] = dict(picture(self.workflow))
        except PgweaveError:
            fallback = {"text/plain": self.text}
        return {**data, **fallback}, metadata

    def _receive(self, widget: object, content: object, buffers: object) -> None:
        """A request of the front end's; the answer goes out as a message of the same id. The kernel does not wait for it."""
        arguments = self._session.views[0], content
        if isinstance(content, dict) and content.get("type") in SLOW:
            Thread(target=self._session.handle, args=arguments, name="pgweave designer", daemon=True).start()
        else:
            self._session.handle(*arguments)


class _Front:
    """All that shows one widget: what is sent to the model is heard by every view of it."""

    def __init__(self, widget: Designer) -> None:
        self._widget = widget

    def send(self, message: Message) -> None:
        """Send an event; from any thread."""
        self._widget.send(dict(message))


def design(workflow: Workflow, dsn: str | None = None) -> Designer:
    """A designer of the text that a workflow comes from, with all else in it; kept in its file if it came from one."""
    source = workflow.module.source
    path = Path(source.name)
    try:
        is_file = path.is_file() and path.read_bytes() == source.text.encode()
    except OSError:  # a name that is none of a file
        is_file = False
    return Designer(source.text.removeprefix("\ufeff"), path=path if is_file else None, name=source.name, dsn=dsn)
