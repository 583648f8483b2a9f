"""When each step of a run began and ended, as a chart: a row for each step, a bar for each of its runs.

In: a Snapshot and the runs of its steps (`Client.runs`). Out: SVG with colours for light and dark surroundings, and the
same as plain text. Of a loop the database keeps the latest turn, so that is what is drawn; which turn stands beside it.
"""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING

from pgweave.compiler.pictures.palette import DARK, LIGHT, Palette
from pgweave.grammar import durations, nodes
from pgweave.grammar.shortened import cut
from pgweave.observe.sentences import outline, title
from pgweave.observe.text_tables import seconds

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pgweave.observe.run_state import RunState, StepState
    from pgweave.runtime.client import NodeRun

LABEL, CHART, AFTER, ROW, TOP = 270, 360, 120, 22, 34  # pixels: words, bars, what stands behind a bar, a row, the axis
CHARACTERS = 40  # of a step's words that fit
TICKS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600)
DAYS = tuple(3600 * hours for hours in (2, 3, 6, 12, 24, 48, 168, 720, 8760))


@dataclass(frozen=True, slots=True)
class Bar:
    """One run of one step. began, ended: seconds from the start of the whole. state: as in StepState."""

    began: float
    ended: float
    state: str
    attempts: int
    turn: tuple[int, ...]

    @property
    def note(self) -> str:
        """What stands behind it."""
        tries = f" · {self.attempts} attempts" if self.attempts > 1 else ""
        turn = f" · turn {'.'.join(map(str, self.turn))}" if self.turn else ""
        return f"{seconds(self.ended - self.began)}{tries}{turn}"


@dataclass(frozen=True, slots=True)
class Track:
    """One step that was reached, or the whole. indent: levels below the whole."""

    words: str
    indent: int
    bars: tuple[Bar, ...]


class Timeline:
    """The chart of one run. tracks: its rows, the whole first. length: seconds."""

    def __init__(self, tracks: Sequence[Track], length: float, name: str) -> None:
        self.tracks = tuple(tracks)
        self.length = length
        self.name = name

    @classmethod
    def of(cls, state: RunState, runs: Sequence[NodeRun]) -> Timeline:
        """The chart at this moment. runs: of the instance and of its children."""
        began = state.instance.created_at
        by_node: dict[tuple[str, str], list[Bar]] = {}
        end = state.seconds
        for run in runs:
            start = (run.started_at - began).total_seconds()
            stop = ((run.completed_at or state.taken_at) - began).total_seconds()
            # To people a run that lost its race was skipped; the instance is what can be cancelled.
            shown = {"cancelled": "skipped"}.get(run.status, run.status)
            # created_at and started_at come from different transactions, and a clock that is set back may
            # exchange them.
            bar = Bar(max(0.0, start), max(start, stop, 0.0), shown, run.attempts, tuple(run.iteration))
            by_node.setdefault((run.instance_id, run.node_id), []).append(bar)
            # A child may outlive its parent; the chart of an instance that has ended does not grow with it.
            end = max(end, bar.ended) if not state.ended else end
        name = state.instance.label or state.workflow.name
        whole = Bar(0.0, state.seconds, _STATES[state.status], 1, ())
        tracks = [Track(f"{name} {state.instance.id}", 0, (whole,))]
        for step, _ in outline(state):
            # The steps around this one: each beginning of its path.
            calls = (state.by_path[step.path[:length]] for length in range(len(step.path)))
            depth = 1 + sum(isinstance(call.node, nodes.CallChild) for call in calls)
            if bars := _bars(step, by_node):
                tracks.append(Track(title(step), depth, tuple(bars)))
        return cls(tracks, end, name)

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, str]:
        return {"image/svg+xml": self.svg(), "text/plain": self.text()}

    def __str__(self) -> str:
        return self.text()

    def text(self) -> str:
        """The chart as text, bars of up to forty characters."""
        scale = 40 / self.length if self.length else 0.0
        lines = []
        for track in self.tracks:
            row = [" "] * 40
            for bar in track.bars:
                first = min(39, int(bar.began * scale))
                for at in range(first, max(first + 1, min(40, round(bar.ended * scale)))):
                    row[at] = "░" if bar.state == "waiting" else "█"
            words = "  " * track.indent + track.words
            lines.append(f"{cut(words, CHARACTERS):<{CHARACTERS}} │{''.join(row)}│ {track.bars[-1].note}")
        return "\n".join(lines)

    def svg(self) -> str:
        """The chart as an SVG element."""
        height = TOP + ROW * len(self.tracks) + 8
        width = LABEL + CHART + AFTER
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" class="pgw-timeline" width="{width}" height="{height}"'
            f' viewBox="0 0 {width} {height}" style="max-width:100%;height:auto" role="img" aria-label="{escape(f"Timeline of {self.name}")}"'
            f' font-family="Helvetica,Arial,sans-serif" font-size="11"><style>{_style()}</style>'
            f'<rect class="pgw-ground" width="{width}" height="{height}"/>'
            + "".join(self._axis(height))
            + "".join(part for number, track in enumerate(self.tracks) for part in self._row(number, track))
            + "</svg>"
        )

    def _axis(self, height: int) -> Iterator[str]:
        # Eight lines at the most, at round times.
        step = next((tick for tick in (*TICKS, *DAYS) if self.length / tick <= 8), self.length / 8)
        at = 0.0
        while at <= self.length:
            x = LABEL + self._x(at)
            yield f'<line class="pgw-grid" x1="{x:.1f}" x2="{x:.1f}" y1="{TOP - 8}" y2="{height - 8}"/>'
            yield f'<text class="pgw-faint" x="{x:.1f}" y="{TOP - 14}" text-anchor="middle">{durations.tick(at)}</text>'
            at += step

    def _row(self, number: int, track: Track) -> Iterator[str]:
        y = TOP + ROW * number
        words = cut(track.words, CHARACTERS - 2 * track.indent)
        weight = ' font-weight="bold"' if number == 0 else ""
        yield f'<text class="pgw-ink" x="{8 + 12 * track.indent}" y="{y + 14}"{weight}>{escape(words, quote=False)}</text>'
        for bar in track.bars:
            x, width = LABEL + self._x(bar.began), max(2.0, self._x(bar.ended) - self._x(bar.began))
            said = escape(f"{track.words}\n{bar.state}, {bar.note}, from {seconds(bar.began)} on", quote=False)
            yield (
                f'<rect class="pgw-bar pgw-{bar.state}" x="{x:.1f}" y="{y + 3}" width="{width:.1f}" height="{ROW - 8}"'
                f' rx="3"><title>{said}</title></rect>'
            )
        last = track.bars[-1]
        yield f'<text class="pgw-faint" x="{LABEL + self._x(last.ended) + 6:.1f}" y="{y + 14}">{escape(last.note, quote=False)}</text>'

    def _x(self, at: float) -> float:
        return CHART * min(1.0, at / self.length) if self.length else 0.0


_STATES = {
    "pending": "pending", "running": "running", "completed": "completed", "failed": "failed", "cancelled": "skipped",
}  # fmt: skip


def _bars(step: StepState, by_node: dict[tuple[str, str], list[Bar]]) -> list[Bar]:
    """Runs of a step; of a call those of the wait for the child."""
    if step.instance is None or step.run is None or not _runs(step):
        return []
    return sorted(by_node.get((step.instance.id, step.run.id), ()), key=lambda bar: bar.began)


def _runs(step: StepState) -> bool:
    return isinstance(step.node, nodes.CallChild) or not nodes.children(step.node)


def _style() -> str:
    return f"{_rules(LIGHT)}@media (prefers-color-scheme: dark){{{_rules(DARK)}}}"


def _rules(palette: Palette) -> str:
    states = "".join(
        f".pgw-timeline .pgw-{state}{{fill:{fill};stroke:{line}}}" for state, (fill, line) in palette.states.items()
    )
    return (
        f".pgw-timeline .pgw-ground{{fill:{palette.background}}}.pgw-timeline .pgw-ink{{fill:{palette.ink}}}"
        f".pgw-timeline .pgw-faint{{fill:{palette.faint}}}.pgw-timeline .pgw-grid{{stroke:{palette.states['skipped'][1]};"
        f"stroke-width:.5}}.pgw-timeline .pgw-skipped{{stroke-dasharray:3,2}}{states}"
    )
