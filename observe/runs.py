"""Runs: instances of workflows as objects of a notebook.

In: a workflow to start, or the id of an instance. Out: a Run. It holds nothing but the id, the database and, if it is
known, the program: what happens is in the database, so a Run that is opened again after a restart of the kernel, or in
another notebook, shows the same.

    run = workflow.start()              # returns at once; the cell shows a picture that changes
    run.signal("approved", {"by": "ann"})
    run.result()
"""

from __future__ import annotations

import json
import sys
from math import inf
from threading import Lock
from time import monotonic, sleep
from typing import TYPE_CHECKING, Any, ClassVar, Self

from pgweave.observe import background, display, session_database, step_table, watch
from pgweave.observe.live import LiveView, Said, release, show, words
from pgweave.observe.picture_bundles import of_run
from pgweave.observe.signals import receiver
from pgweave.observe.snapshot import take
from pgweave.observe.timeline import Timeline
from pgweave.runtime.client import Client
from pgweave.runtime.errors import PgweaveError
from pgweave.texts import refuse_errors
from pgweave.workflow import RunFailed, WorkflowSource
from pgweave.workflow import start as start_instance

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pgweave.observe.display import Bundle, Result
    from pgweave.observe.snapshot import Snapshot

WORKER_SECONDS = watch.WORKER_SECONDS
LOOK_SECONDS = 0.05  # between two looks in `settle`
SAY_SECONDS = 2.0  # after this, `wait` says what would let the run go on


class StillGoing(PgweaveError, TimeoutError):
    """The time to wait for the end of a run is over; the run goes on."""


class Run:
    """One instance of a workflow. `Run.open(id)` finds one that was started elsewhere, or before the kernel's restart.

    dsn: of its database. workflow: what was started, if that is known; else it is read from the rows, as an object of
    `workflow_class`. works: see to it that a worker runs on the database.
    """

    workflow_class: ClassVar[type[WorkflowSource]] = WorkflowSource

    def __init__(
        self, instance_id: str, dsn: str, workflow: WorkflowSource | None = None, *, works: bool = False
    ) -> None:
        self.id = instance_id
        self.dsn = dsn
        self._workflow = workflow
        self._works = works
        self._who = background.ensure_worker(dsn) if works else background.who_works(dsn)
        self._views: list[LiveView] = []
        self._showing = Lock()
        self._subject: watch.Subject | None = None
        self._shown_in: object = None

    @classmethod
    def open(cls, instance_id: str, dsn: str | None = None, *, workflow: WorkflowSource | None = None) -> Self:
        """An instance that is there already. InstanceNotFound if it is not, or belongs to another role.

        dsn: of its database; by default this session's. On the embedded server a worker is started if there is none;
        on any other database that is left to `work`.
        """
        found = session_database.current(dsn)
        with Client(found) as client:
            ended = client.instance(instance_id).ended
        return cls(instance_id, found, workflow, works=session_database.is_embedded(found) and not ended)

    @classmethod
    def start(
        cls,
        workflow: WorkflowSource,
        *,
        dsn: str | None = None,
        label: str | None = None,
        variables: Mapping[str, str] | None = None,
    ) -> Self:
        """Start a workflow and return at once; the cell of a notebook shows it live.

        dsn: of the database; by default this session's. variables: instead of what the text's df.setvar say.
        ProgramError when a check finds an error.
        """
        refuse_errors(workflow.check(), workflow.module.source)
        found = session_database.current(dsn)
        with Client(found) as client:
            instance_id = start_instance(client, workflow, label, variables)
        run = cls(instance_id, found, workflow, works=True)
        if _has_kernel():
            run._ipython_display_()
        return run

    def __repr__(self) -> str:
        return f"<Run {self.id}>"

    @property
    def status(self) -> str:
        """pending, running, completed, failed or cancelled."""
        with Client(self.dsn) as client:
            return client.status(self.id)

    @property
    def workflow(self) -> WorkflowSource:
        """What it runs: the workflow that was started, or one made from the rows, without comments."""
        return self.snapshot().workflow

    def snapshot(self) -> Snapshot:
        """Everything about it at this moment."""
        with Client(self.dsn) as client:
            return self._take(client)

    def _take(self, client: Client) -> Snapshot:
        running = background.running_steps(self.dsn)
        return take(client, self.id, self._workflow, kind=self.workflow_class, running=running)

    def work(self) -> Self:
        """See to it that a worker runs on this database: one in this process, if there is none elsewhere."""
        self._works = True
        self._who = background.ensure_worker(self.dsn)
        if self._who in {background.Who.NONE, background.Who.UNKNOWN}:
            raise PgweaveError(
                "This role may not run a worker.",
                "Start `pgweave worker` with a role that may: pgweave db enrol.",
            )
        if self._subject is not None:
            self._subject.works = True
        return self

    # What it comes to

    def wait(self, timeout: float | None = None) -> str:
        """Block until it has ended; return its status. timeout: seconds, then StillGoing. Interrupting harms nothing."""
        deadline = inf if timeout is None else monotonic() + timeout
        slice_seconds, said = SAY_SECONDS, False
        with Client(self.dsn) as client:
            while True:
                try:
                    # In slices, so that a worker that has gone is noticed.
                    status = client.wait(self.id, max(0.0, min(slice_seconds, deadline - monotonic())))
                except TimeoutError:
                    if monotonic() >= deadline:
                        now = self._take(client).sentence
                        raise StillGoing(f"{self.id} has not ended after {timeout:g} s. {now}") from None
                else:
                    self._show_now(client)
                    return status
                if self._works:  # another worker may have gone
                    self._who = background.ensure_worker(self.dsn)
                said = said or self._say_what_for(client)
                slice_seconds = WORKER_SECONDS

    def settle(self, timeout: float = 30) -> Snapshot:
        """Block until it has ended, or no step is running and something is waited for; return the snapshot of then.

        timeout: seconds, then StillGoing.
        """
        deadline = monotonic() + timeout
        with Client(self.dsn) as client:
            while True:
                now = self._take(client)
                if now.ended or now.idle:
                    self._show_now(client)
                    return now
                if monotonic() >= deadline:
                    raise StillGoing(f"{self.id} is still running steps after {timeout:g} s. {now.sentence}")
                sleep(LOOK_SECONDS)

    def _show_now(self, client: Client) -> None:
        """Update what is shown now, instead of leaving it to the watching thread.

        Tools that execute notebooks, nbconvert for example, take changes of earlier outputs only from the cell that runs.
        """
        if self._views:
            self._update(self._take(client))

    def _say_what_for(self, client: Client) -> bool:
        """While this cell blocks, no other cell can send the signal: say so, once."""
        snapshot = self._take(client)
        calls = [release(wait, self.name) for wait in snapshot.waits if wait.kind == "signal"]
        if self._who is background.Who.NONE:
            calls = [f"{self.name}.work()"]
        elif not calls or len(calls) < len(snapshot.waits):
            return False
        advice = f"To go on, interrupt this cell (the run goes on) and call {calls[0]}"
        _show(display.sentence(f"{self.id}: {snapshot.sentence} {advice}"))
        return True

    def result(self, timeout: float | None = None) -> object:
        """What it came to, as Python values with exact numbers; waits for the end. Rows show themselves as a table.

        RunFailed when it does not complete, StillGoing, a TimeoutError, after `timeout` seconds.
        """
        if self.wait(timeout) == "completed":
            with Client(self.dsn) as client:
                return display.result(client.instance(self.id).result)
        snapshot = self.snapshot()
        instance, failure = snapshot.instance, snapshot.failure
        raise RunFailed(self.id, instance.status, instance.error, failure.explanation(colour=True) if failure else "")

    # What happens in it

    def nodes(self) -> Result:
        """Every step with its state, how long it took, what ran and what came of it; a table, or `.df()`."""
        return step_table.table(self.snapshot())

    def timeline(self) -> Timeline:
        """When each step began and ended, and how often it was tried: a chart."""
        with Client(self.dsn) as client:
            return Timeline.of(self._take(client), client.runs(self.id))

    # Control

    def signal(self, name: str, payload: object = None, *, to: str | None = None) -> None:
        """Send a signal; it is kept until a wait takes it. payload: anything JSON can say.

        to: the instance; by default the one that waits for it, a child perhaps. PgweaveError when no step of the program
        waits for a signal of this name, or when it has ended.
        """
        try:
            json.dumps(payload)
        except (TypeError, ValueError) as error:
            raise PgweaveError(f"JSON cannot say this: {error}.", 'Send for example {"approved": True}.') from error
        with Client(self.dsn) as client:
            client.signal(to or receiver(self._take(client), name), name, payload)

    def cancel(self, reason: str = "Cancelled by user") -> str:
        """End it before its next step. Returns the database's answer."""
        with Client(self.dsn) as client:
            return client.cancel(self.id, reason)

    # How it is shown

    @property
    def name(self) -> str:
        """The variable of the session that holds it, for calls that people can copy."""
        shell = _shell()
        found = [word for word, value in (shell.user_ns if shell else {}).items() if value is self and word[:1] != "_"]
        return found[0] if found else "run"

    def live(self) -> None:
        """Show it here: its state in words, and a picture that changes. Without a kernel: as it is now."""
        snapshot = self.snapshot()
        if not _has_kernel():
            _show(words(snapshot, self._said()))
            _show(of_run(snapshot))
            return
        self._views.append(LiveView(snapshot, self._said, self._on_visible))
        if not snapshot.ended and (self._subject is None or self._subject.ended):
            self._subject = watch.Subject(self.id, self._workflow, self._update, self._works)
            self._watcher = watch.watch(self.dsn, self._subject)

    def _update(self, snapshot: Snapshot) -> None:
        with self._showing:  # the watching thread and a call may both update
            for view in self._views:
                view.show(snapshot)
            if snapshot.ended:
                self._views.clear()

    def _said(self) -> Said:
        return Said(self.name, no_worker=self._who is background.Who.NONE)

    def _on_visible(self) -> None:
        """A picture of it has come into view, or the last one has left it."""
        if self._subject is not None:
            self._subject.visible = any(view.visible for view in self._views)
            self._watcher.wake()

    def _ipython_display_(self) -> None:
        """Show it live; once in a cell, which `start` may have done already."""
        shell = _shell()
        here = shell.execution_count if shell else None
        if here is None or self._shown_in != here:
            self._shown_in = here
            self.live()

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> Bundle:
        """For front ends that show values without IPython: its state now."""
        snapshot = self.snapshot()
        return {**of_run(snapshot), "text/plain": words(snapshot, self._said())["text/plain"]}


def _shell() -> Any:  # noqa: ANN401 - IPython's, if there is one
    ipython = sys.modules.get("IPython")
    return ipython.get_ipython() if ipython is not None else None


def _has_kernel() -> bool:
    """Whether there is a front end that can replace what it shows."""
    return getattr(_shell(), "kernel", None) is not None


def _show(bundle: Bundle) -> None:
    if _shell() is not None:
        show(bundle)
