"""What the designer does with a database: start a workflow, watch instances, send signals, list old instances.

Nothing happens here until a person asks for it: no database is connected to, and no server started, by opening a page.
States are told by block id, in the program as it was started; a view that watches keeps that drawing.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from threading import Lock
from typing import TYPE_CHECKING, Any

from pgweave.companion import set_up
from pgweave.dbcheck import refuse_before_start
from pgweave.designer.drawing import block_id, draw, path_of
from pgweave.designer.page_results import rows
from pgweave.designer.protocol import (
    Action,
    Attempt,
    InstanceRow,
    NodeResult,
    PastResult,
    RunEvent,
    StepState,
    Wait,
)
from pgweave.grammar.parser import parse
from pgweave.observe import background, session_database, watch
from pgweave.observe.signals import receiver
from pgweave.observe.snapshot import take
from pgweave.runtime.client import Client
from pgweave.runtime.errors import PgweaveError
from pgweave.runtime.server import embedded
from pgweave.texts import refuse_errors
from pgweave.workflow import WorkflowSource, start

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime
    from pathlib import Path

    from pgweave.designer.views import View
    from pgweave.grammar.editing import places
    from pgweave.grammar.parser import Parsed
    from pgweave.observe import run_state
    from pgweave.observe.snapshot import Snapshot
    from pgweave.runtime.client import Instance

MOST_INSTANCES = 1_000  # that are looked through for a list
WAITS_SHOWN = 25  # instances of a list whose waits are said; each costs a look


@dataclass(eq=False)
class _Watched:
    """One instance that some views watch.

    workflow: what was started, if that is known; index: its number in the text. elsewhere: what runs is not what the
    text shows, since the database has put it together, and no view shows the program of the rows yet. last: what they
    were told.
    """

    workflow: WorkflowSource | None
    index: int
    elsewhere: bool = False
    views: list[View] = field(default_factory=list)
    subject: watch.Subject | None = None
    watcher: watch.Watcher | None = None
    last: RunEvent | None = None
    snapshot: Snapshot | None = None


class Operator:
    """Works with one database: `dsn`, else this session's.

    setup: the program whose companion is run before a start, as `pgweave run` does. report: told of it in a sentence.
    """

    def __init__(
        self, dsn: str | None = None, setup: Path | None = None, report: Callable[[str], None] = lambda _: None
    ) -> None:
        self._dsn = dsn
        self._setup = setup
        self._report = report
        self._watched: dict[str, _Watched] = {}
        self._lock = Lock()

    # Starting

    def start(
        self, parsed: Parsed, view: View, target: str, label: str | None, variables: dict[str, str], *, ask: bool = True
    ) -> str:
        """Start a workflow of a text, and watch it. ProgramError when a check finds an error.

        target: the id of a block of it, or "" where the text holds one workflow. ask: have the database prepare every
        step first, as `pgweave run` does.
        """
        module = parsed.module
        refuse_errors(parsed.diagnostics, module.source)  # with one workflow missing, the numbers would be another's
        index = self._index(target, len(module.definitions))
        workflow = WorkflowSource(module.definitions[index], module)
        refuse_errors(workflow.check(), module.source)
        dsn = session_database.current(self._dsn)
        self._set_up(dsn)
        if ask:
            refuse_before_start(workflow, dsn)
        with Client(dsn) as client:
            instance = start(client, workflow, label or workflow.label, variables)
        background.ensure_worker(dsn)
        self._join(instance, view, _Watched(workflow, index))
        return instance

    @staticmethod
    def _index(target: str, count: int) -> int:
        if not count:
            raise PgweaveError("There is no workflow to start.", "Add a step first.")
        number = target.partition(":")[0]
        if number == "" and count == 1:
            return 0
        if not number.isdecimal() or int(number) >= count:
            raise PgweaveError("There are several workflows here.", "Choose the one to start.")
        return int(number)

    def _set_up(self, dsn: str) -> None:
        if self._setup is not None and (companion := set_up(self._setup, dsn)) is not None:
            self._report(f"set-up: {companion}")

    # Watching

    def watch(self, view: View, instance: str) -> None:
        """Tell a view of every change of an instance, beginning with how it is now."""
        with self._client() as client:
            client.instance(instance)  # says that there is none
        self._join(instance, view, _Watched(None, 0))

    def _join(self, instance: str, view: View, new: _Watched) -> None:
        with self._lock:
            # The first who watches decides what program is shown; others share its watcher.
            watched = self._watched.setdefault(instance, new)
            if view not in watched.views:
                watched.views.append(view)
            last = watched.last
            if watched.subject is None:
                watched.subject = watch.Subject(instance, watched.workflow, self._shows(instance, watched), works=True)
                watched.watcher = watch.watch(self._place(), watched.subject)
        if last is not None:
            view.send(last)

    def _shows(self, instance: str, watched: _Watched) -> Any:  # noqa: ANN401 - a callback of watch.Subject
        def show(snapshot: Snapshot) -> None:
            with self._lock:
                watched.snapshot = snapshot
                # The snapshot's workflow is made from the rows when those are not the text's: the database had
                # computed a part of it.
                if watched.workflow not in (None, snapshot.workflow):
                    watched.workflow, watched.index, watched.elsewhere = None, 0, True
            self._tell(watched)

        return show

    def _tell(self, watched: _Watched) -> None:
        """Tell the views of an instance how it is, if they do not know."""
        with self._lock:
            if watched.snapshot is None:
                return
            event = run_event(watched.snapshot, None if watched.elsewhere else watched.index)
            # Compared under the lock, sent outside of it: a slow view must not keep the others waiting.
            changed, watched.last = event != watched.last, event
            views = tuple(watched.views)
        for view in views if changed else ():
            view.send(event)

    def unwatch(self, view: View, instance: str) -> None:
        """Tell this view no more."""
        with self._lock:
            watched = self._watched.get(instance)
            if watched is None or view not in watched.views:
                return
            watched.views.remove(view)
            if watched.views:
                return
            del self._watched[instance]
        if watched.watcher is not None and watched.subject is not None:
            watched.watcher.forget(watched.subject)

    def forget(self, view: View) -> None:
        """A view has closed."""
        for instance in tuple(self._watched):
            self.unwatch(view, instance)

    # Control

    def signal(self, instance: str, name: str, payload: object) -> None:
        """Send a signal to where it is waited for: a child of the instance, perhaps."""
        with self._client() as client:
            client.signal(receiver(take(client, instance), name), name, payload)

    def cancel(self, instance: str) -> None:
        """End an instance before its next step."""
        with self._client() as client:
            client.cancel(instance)

    # Looking

    def instances(self, status: str | None, text: str | None, limit: int) -> list[InstanceRow]:
        """The newest instances; none when there is no database yet. An embedded server that is stopped is started for this."""
        if self._known() is None:
            # Never started: nothing is in it, and starting one for an empty list would take seconds.
            if embedded.status().version is None:
                return []
            session_database.current(self._dsn)
        with self._client() as client:
            wanted = (text or "").casefold()
            found = [
                instance
                for instance in client.instances(MOST_INSTANCES)
                if status in (None, instance.status) and wanted in f"{instance.id} {instance.label or ''}".casefold()
                # Filtered here and not by the database: `text` may be in the id as well as in the label.
            ][: max(1, min(limit, MOST_INSTANCES))]
            now = client.now()
            return [_row(client, instance, now, waits=number < WAITS_SHOWN) for number, instance in enumerate(found)]

    def past(self, instance: str) -> PastResult:
        """The program of an instance, from its rows. Its number is the one that its states come with."""
        watched = self._watched.get(instance)
        with self._client() as client:
            source = take(client, instance).workflow.module.source
        if watched is not None and watched.elsewhere:
            watched.elsewhere = False
            self._tell(watched)
        return PastResult(drawing=draw(parse(source), (), first=watched.index if watched else 0), text=source.text)

    def node(self, instance: str, block: str) -> NodeResult:
        """One step of an instance, with all its runs."""
        watched = self._watched.get(instance)
        with self._client() as client:
            snapshot = take(client, instance, watched.workflow if watched else None)
            path = path_of(block)[1]
            step = snapshot.by_path.get(path)
            if step is None:
                raise PgweaveError("This step is not part of that run.", "Open the run again.")
            run = step.run
            runs = [
                one
                for one in client.runs(instance)
                if run is not None and (one.instance_id, one.node_id) == (run.instance_id, run.id)
            ]
        return NodeResult(
            sql=step.ran,
            result=None if step.result is None else rows(step.result),
            error=_failure(snapshot, path) or step.message,
            attempts=[
                Attempt(
                    status=one.status,
                    started_at=_time(one.started_at),
                    completed_at=_time(one.completed_at),
                    iteration=_turns(one.iteration),
                    attempts=one.attempts,
                    error=step.message if one.status == "failed" else None,
                )
                for one in runs
            ],
            started_at=_time(run.started_at if run else None),
            completed_at=_time(run.finished_at if run else None),
            iteration=_turns(step.iteration),
        )

    # Where

    def _known(self) -> str | None:
        found = session_database.known(self._dsn)
        if found is None:
            server = embedded.find()
            return None if server is None else server.dsn
        return found

    def _place(self) -> str:
        found = self._known()
        if found is None:
            raise PgweaveError("There is no database yet.", "Start a workflow first, or give --dsn.")
        return found

    def _client(self) -> Client:
        return Client(self._place())


def run_event(snapshot: Snapshot, index: int | None) -> RunEvent:
    """How an instance is, for a view. index: of its workflow in what the view draws; None: it draws something else."""
    event = RunEvent(
        type="run",
        instance=snapshot.instance.id,
        status=snapshot.status,
        waits=[
            Wait(
                sentence=wait.sentence,
                block=None if index is None else block_id(index, wait.path),
                action=Action(kind="signal", name=wait.name)
                if wait.kind == "signal" and wait.name is not None
                else Action(kind="none"),
            )
            for wait in snapshot.waits
        ],
        states={} if index is None else {block_id(index, step.path): _state(step) for step in snapshot.steps},
    )
    if snapshot.ended:
        result, error = snapshot.instance.result, snapshot.instance.error
        event["result"] = None if result is None else rows(result)
        event["error"] = None if error is None else _failure(snapshot) or str(error.get("message") or "it failed")
    return event


def _failure(snapshot: Snapshot, path: places.Path | None = None) -> str | None:
    """Why it failed, with the lines of the program and a caret. path: only if it was this step that failed."""
    failure = snapshot.failure
    return failure.text() if failure is not None and path in (None, failure.path) else None


def _state(step: run_state.StepState) -> StepState:
    state = StepState(
        status=step.state,
        duration_seconds=step.seconds,
        attempts=step.run.attempts if step.run is not None else None,
        iteration=_turns(step.iteration),
    )
    if step.message is not None:
        state["message"] = step.message
    return state


def _row(client: Client, instance: Instance, now: datetime, *, waits: bool) -> InstanceRow:
    waiting = [wait.sentence for wait in take(client, instance.id).waits] if waits and not instance.ended else []
    return InstanceRow(
        id=instance.id,
        label=instance.label,
        status=instance.status,
        created_at=instance.created_at.isoformat(),
        duration_seconds=((instance.completed_at or now) - instance.created_at).total_seconds(),
        waits_for=" ".join(waiting) or None,
    )


def _time(at: datetime | None) -> str | None:
    return None if at is None else at.isoformat()


def _turns(iteration: Sequence[int]) -> str | None:
    return ".".join(map(str, iteration)) or None
