"""Runs: instances of workflows as objects of a notebook.

In: a workflow to start, or the id of an instance. Out: a Run. It holds nothing but the id, the database and, if it is
known, the program: what happens is in the database, so a Run that is opened anew after a restart of the kernel, or in
another notebook, shows the same.

    run = workflow.start()              # returns at once; the cell shows a picture that changes
    run.signal("approved", {"by": "ann"})
    run.result()
"""

from __future__ import annotations

import json
from math import inf
from threading import Lock
from time import monotonic, sleep
from typing import TYPE_CHECKING, Any

from pgweave.observe import background, display, session_database, step_table, watch
from pgweave.observe.live import LiveView, Said, picture, release, words
from pgweave.observe.signals import receiver
from pgweave.observe.snapshot import take
from pgweave.runtime.client import Client
from pgweave.runtime.errors import PgweaveError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pgweave.observe.display import Bundle, Result
    from pgweave.observe.snapshot import Snapshot
    from pgweave.observe.timeline import Timeline
    from pgweave.workflow import Workflow

WORKER_SECONDS = watch.WORKER_SECONDS
LOOK_SECONDS = 0.05  # between two looks at a run that is to settle
SAY_SECONDS = 2.0  # a call that waits says what for, if it waits for somebody to do something


class StillGoing(PgweaveError, TimeoutError):
    """The time to wait for the end of a run is over; the run goes on."""


class Run:
    """One instance of a workflow. `Run.open(id)` finds one that was started elsewhere, or before the kernel's restart.

    dsn: of its database. workflow: what was started, if that is known; else it is read from the rows.
    """

    def __init__(self, instance_id: str, dsn: str, workflow: Workflow | None = None, *, works: bool = False) -> None:
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
    def open(cls, instance_id: str, dsn: str | None = None, *, workflow: Workflow | None = None) -> Run:
        """An instance that is there already. InstanceNotFound if it is not, or belongs to another role.

        dsn: of its database; by default this session's. On the embedded server a worker is started if there is none;
        on a database of your own that is left to `work`.
        """
        found = session_database.current(dsn)
        with Client(found) as client:
            ended = client.instance(instance_id).ended
        return cls(instance_id, found, workflow, works=session_database.is_ours(found) and not ended)

    def __repr__(self) -> str:
        return f"<Run {self.id}>"

    @property
    def status(self) -> str:
        """pending, running, completed, failed or cancelled."""
        with Client(self.dsn) as client:
            return client.status(self.id)

    @property
    def workflow(self) -> Workflow:
        """What it runs: the workflow that was started, or one made from the rows, without comments."""
        return self.snapshot().workflow

    def snapshot(self) -> Snapshot:
        """Everything about it at this moment."""
        with Client(self.dsn) as client:
            return take(client, self.id, self._workflow, running=background.steps_in_hand(self.dsn))

    def work(self) -> Run:
        """See to it that a worker works on this database: one in this process, if there is none elsewhere."""
        self._works = True
        self._who = background.ensure_worker(self.dsn)
        if self._who in {background.Who.NOBODY, background.Who.UNKNOWN}:
            raise PgweaveError(
                "This role may not work off workflows.",
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
                    status = client.wait(self.id, max(0.0, min(slice_seconds, deadline - monotonic())))
                except TimeoutError:
                    if monotonic() >= deadline:
                        now = take(client, self.id, self._workflow).sentence
                        raise StillGoing(f"{self.id} has not ended after {timeout:g} s. {now}") from None
                else:
                    self._show_now(client)
                    return status
                if self._works:  # another worker may have gone
                    self._who = background.ensure_worker(self.dsn)
                said = said or self._say_what_for(client)
                slice_seconds = WORKER_SECONDS

    def settle(self, timeout: float = 30) -> Snapshot:
        """Block until it has ended, or no step is in hand and something is waited for; return what there is then.

        timeout: seconds, then StillGoing.
        """
        deadline = monotonic() + timeout
        with Client(self.dsn) as client:
            while True:
                now = take(client, self.id, self._workflow, running=background.steps_in_hand(self.dsn))
                if now.ended or now.rests:
                    self._show_now(client)
                    return now
                if monotonic() >= deadline:
                    raise StillGoing(f"{self.id} has not come to rest after {timeout:g} s. {now.sentence}")
                sleep(LOOK_SECONDS)

    def _show_now(self, client: Client) -> None:
        """Bring what is shown up to date, rather than leave it to the thread that watches.

        What executes a notebook without a person, nbconvert for example, takes changes of earlier outputs only from the
        cell that runs.
        """
        if self._views:
            self._update(take(client, self.id, self._workflow, running=background.steps_in_hand(self.dsn)))

    def _say_what_for(self, client: Client) -> bool:
        """Whoever waits in a cell cannot do anything in the next one; that is worth saying, once."""
        snapshot = take(client, self.id, self._workflow, running=background.steps_in_hand(self.dsn))
        calls = [release(wait, self.name) for wait in snapshot.waits if wait.kind == "signal"]
        if self._who is background.Who.NOBODY:
            calls = [f"{self.name}.work()"]
        elif not calls or len(calls) < len(snapshot.waits):
            return False
        advice = f"To go on, interrupt this cell (the run does not mind) and call {calls[0]}"
        _show(display.sentence(f"{self.id}: {snapshot.sentence} {advice}"))
        return True

    def result(self, timeout: float | None = None) -> object:
        """What it came to, as Python values with exact numbers; waits for the end. Rows show themselves as a table.

        RunFailed when it does not complete, StillGoing, a TimeoutError, after `timeout` seconds.
        """
        from pgweave.workflow import RunFailed

        if self.wait(timeout) == "completed":
            with Client(self.dsn) as client:
                return display.result(client.result(self.id))
        snapshot = self.snapshot()
        instance, failure = snapshot.instance, snapshot.failure
        raise RunFailed(self.id, instance.status, instance.error, failure.explanation(colour=True) if failure else "")

    # What happens in it

    def nodes(self) -> Result:
        """Every step with its state, how long it took, what ran and what came of it; a table, or `.df()`."""
        return step_table.table(self.snapshot())

    def timeline(self) -> Timeline:
        """When each step began and ended, and how often it was tried: a chart."""
        from pgweave.observe.timeline import Timeline

        with Client(self.dsn) as client:
            snapshot = take(client, self.id, self._workflow, running=background.steps_in_hand(self.dsn))
            return Timeline.of(snapshot, client.runs(self.id))

    # A hand in it

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
            client.signal(to or receiver(take(client, self.id, self._workflow), name), name, payload)

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
        """Show it here: how things stand, and a picture that changes. Without a kernel behind it: as it is now."""
        snapshot = self.snapshot()
        if not _has_kernel():
            _show(words(snapshot, self._said()))
            _show(picture(snapshot))
            return
        self._views.append(LiveView(snapshot, self._said, self._on_visible))
        if not snapshot.ended and (self._subject is None or self._subject.ended):
            self._subject = watch.Subject(self.id, self._workflow, self._update, self._works)
            self._watcher = watch.watch(self.dsn, self._subject)

    def _update(self, snapshot: Snapshot) -> None:
        with self._showing:  # two threads may have something to show
            for view in self._views:
                view.show(snapshot)
            if snapshot.ended:
                self._views.clear()

    def _said(self) -> Said:
        return Said(self.name, nobody=self._who is background.Who.NOBODY)

    def _on_visible(self) -> None:
        """Somebody has scrolled to a picture of it, or away from the last."""
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
        """For front ends that show values without IPython: how it stands now."""
        snapshot = self.snapshot()
        return {**picture(snapshot), "text/plain": words(snapshot, self._said())["text/plain"]}


def start(
    workflow: Workflow,
    *,
    dsn: str | None = None,
    label: str | None = None,
    variables: Mapping[str, str] | None = None,
) -> Run:
    """Start a workflow and return at once; the cell of a notebook shows it live.

    dsn: of the database; by default this session's. variables: instead of what the text's df.setvar say. ProgramError
    when a check finds an error.
    """
    from pgweave.workflow import refuse_errors
    from pgweave.workflow import start as begin

    refuse_errors(workflow.check(), workflow.module.source)
    found = session_database.current(dsn)
    with Client(found) as client:
        instance_id = begin(client, workflow, label, variables)
    run = Run(instance_id, found, workflow, works=True)
    if _has_kernel():
        run._ipython_display_()
    return run


def open(instance_id: str, dsn: str | None = None) -> Run:  # noqa: A001 - runs.open(id)
    """An instance that is there already; see Run.open."""
    return Run.open(instance_id, dsn)


def _shell() -> Any:  # noqa: ANN401 - IPython's, if there is one
    import sys

    ipython = sys.modules.get("IPython")
    return ipython.get_ipython() if ipython is not None else None


def _has_kernel() -> bool:
    """Whether there is a front end that can replace what it shows."""
    return getattr(_shell(), "kernel", None) is not None


def _show(bundle: Bundle) -> None:
    if _shell() is not None:
        from pgweave.notebooks.shell import show

        show(bundle)
