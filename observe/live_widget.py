"""The picture of a run as a Jupyter widget: drawn once, coloured by its front end (static/live.js) as states change."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import anywidget
import traitlets

from pgweave.observe import theme

if TYPE_CHECKING:
    from collections.abc import Callable

    from pgweave.observe.display import Bundle
    from pgweave.observe.snapshot import Snapshot


class LivePicture(anywidget.AnyWidget):
    """Traits: the picture and its CSS, the state of each of its boxes, how things stand.

    From the front end: whether it has drawn it, and whether it is on a screen.
    """

    _esm = Path(__file__).with_name("static") / "live.js"
    svg = traitlets.Unicode().tag(sync=True)
    style = traitlets.Unicode().tag(sync=True)
    states = traitlets.Dict().tag(sync=True)
    sentence = traitlets.Unicode().tag(sync=True)
    rendered = traitlets.Bool(default_value=False).tag(sync=True)
    visible = traitlets.Bool(default_value=True).tag(sync=True)

    @classmethod
    def of(cls, snapshot: Snapshot, on_visible: Callable[[bool], None]) -> LivePicture:
        """The widget for a run as it is now. DrawError without any Graphviz."""
        drawn = snapshot.workflow.render("svg", state=snapshot.boxes, depth="readable").decode()
        widget = cls(
            svg=drawn[drawn.index("<svg") :],
            style=theme.live_style(),
            states=_named(snapshot),
            sentence=snapshot.sentence,
        )
        widget.observe(lambda change: on_visible(bool(change["new"])), "visible")
        return widget

    def show(self, snapshot: Snapshot) -> None:
        """Show another moment of the same run."""
        with self.hold_sync():
            self.states = _named(snapshot)
            self.sentence = snapshot.sentence

    def bundle(self) -> Bundle:
        """What tells a front end to show it."""
        found: tuple[dict[str, Any], dict[str, Any]] | None = self._repr_mimebundle_()
        return {} if found is None else {kind: data for kind, data in found[0].items() if kind != "text/plain"}


def _named(snapshot: Snapshot) -> dict[str, str]:
    return {str(box): state for box, state in snapshot.boxes.items()}
