"""A run as a cell shows it: how things stand, and below it a picture whose boxes change colour.

In: Snapshots, from the thread that watches. Out: two outputs of the cell. The picture is a widget while the run lives, and
plain SVG once it has ended, so that a saved notebook shows it on GitHub, in nbconvert and without a kernel, too. The words
are HTML and plain text, replaced whenever they change. Where no widget is drawn the picture is replaced as a whole.
"""

from __future__ import annotations

import html
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pgweave.compiler.pictures.draw import DrawError
from pgweave.observe import display
from pgweave.observe.picture_bundles import of_run

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pgweave.observe.display import Bundle
    from pgweave.observe.live_widget import LivePicture
    from pgweave.observe.run_state import Wait
    from pgweave.observe.snapshot import Snapshot


WIDGET_SECONDS = 2.0  # by then a front end that supports widgets has drawn the picture


@dataclass(frozen=True, slots=True)
class Said:
    """What is known of a run beside its rows. name: of the variable that holds it. no_worker: no worker runs for it."""

    name: str = "run"
    no_worker: bool = False


class LiveView:
    """The two outputs of one display of a run.

    said: asked whenever something is shown. on_visible: called when the picture comes into view or leaves it.
    """

    def __init__(self, snapshot: Snapshot, said: Callable[[], Said], on_visible: Callable[[], None]) -> None:
        from IPython.display import display as show

        self._said = said
        self._on_visible = on_visible
        self._lock = threading.Lock()  # the thread that watches, and the timer
        self._snapshot = snapshot
        self._words = words(snapshot, said())
        self._widget = None if snapshot.ended else _widget(snapshot, self._seen)
        self.visible = True
        bundle = of_run(snapshot)
        if self._widget is not None:
            # Both in one output: a front end takes the widget if it can, else the SVG.
            bundle |= self._widget.bundle()
        # The words first: a picture may be longer than the window.
        self._sentence: Any = show(self._words, raw=True, display_id=True)  # type: ignore[no-untyped-call]
        self._picture: Any = show(bundle, raw=True, display_id=True)  # type: ignore[no-untyped-call]
        if self._widget is not None:
            timer = threading.Timer(WIDGET_SECONDS, self._do_without)
            timer.daemon = True
            timer.start()

    def _seen(self, visible: bool) -> None:
        self.visible = visible
        self._on_visible()

    def show(self, snapshot: Snapshot) -> None:
        """Show what has changed; from any thread."""
        with self._lock:
            self._snapshot = snapshot
            # At the end the SVG is replaced even under a widget: what a saved notebook shows is the SVG.
            if self._widget is None or snapshot.ended:
                self._picture.update(of_run(snapshot), raw=True)
            if self._widget is not None:
                self._widget.show(snapshot)
            if (found := words(snapshot, self._said())) != self._words:
                self._words = found
                self._sentence.update(found, raw=True)
            if snapshot.ended:
                self._widget = None

    def _do_without(self) -> None:
        """The widget is not drawn (nbconvert, a front end without widgets): from now on the picture is replaced as a whole."""
        with self._lock:
            if self._widget is not None and not self._widget.rendered:
                self._widget = None
                self._picture.update(of_run(self._snapshot), raw=True)


def _widget(snapshot: Snapshot, on_visible: Callable[[bool], None]) -> LivePicture | None:
    """The picture that changes by itself; None where anywidget or Graphviz is missing."""
    try:
        from pgweave.observe.live_widget import LivePicture  # lazy: anywidget is optional

        return LivePicture.of(snapshot, on_visible)
    except (ImportError, DrawError):
        return None


def words(snapshot: Snapshot, said: Said) -> Bundle:
    """How things stand: a sentence; how to release what waits; of a failure the place, what the server said, what ran."""
    instance, failure = snapshot.instance, snapshot.failure
    title = snapshot.workflow.name if instance.label is None else instance.label
    head = f"<b>{html.escape(title)}</b> <code>{instance.id}</code>"
    shown = [f"<p>{head}: {html.escape(snapshot.sentence)}</p>"]
    plain = [f"{title} {instance.id}: {snapshot.sentence}"]
    for text, code in _advice(snapshot, said):
        shown.append(f"<p>{html.escape(text)} <code>{html.escape(code)}</code></p>")
        plain.append(f"{text} {code}".rstrip())
    if failure is not None:
        shown.append(display.finding_html(failure.finding, failure.source))
        plain.append(failure.text())
        if failure.sql is not None:
            shown.append(f'<p class="pgw-faint">This ran:</p><pre class="pgw-code">{html.escape(failure.sql)}</pre>')
            plain.append(f"This ran:\n{failure.sql}")
    return {"text/html": display.page("".join(shown)), "text/plain": "\n".join(plain)}


def _advice(snapshot: Snapshot, said: Said) -> Iterator[tuple[str, str]]:
    """What a person can do about it: words and the call."""
    if said.no_worker:
        yield "No worker is running on this database. Start one in this session:", f"{said.name}.work()"
    for wait in snapshot.waits:
        if wait.kind == "signal":
            yield "Release it:", release(wait, said.name)
    if snapshot.status == "completed" and snapshot.instance.result is not None:
        yield "What it came to:", f"{said.name}.result()"


def release(wait: Wait, name: str) -> str:
    """The call that ends a wait for a signal."""
    return f"{name}.signal({wait.name!r}, {{...}})"


def show(what: object) -> None:
    """Display a bundle, or an object that shows itself, in the current cell."""
    from IPython.display import display as show_in_cell

    show_in_cell(what, raw=isinstance(what, dict) and not hasattr(what, "_repr_mimebundle_"))  # type: ignore[no-untyped-call]
