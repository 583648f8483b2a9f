"""The live picture, in a real kernel: what it sends to its front end; and what watching costs."""

from __future__ import annotations

import os
from contextlib import contextmanager
from queue import Empty
from time import monotonic
from typing import TYPE_CHECKING, Any

import pytest
from jupyter_client.manager import start_new_kernel
from support.work import PATIENCE_SECONDS, with_worker

import pgweave
from pgweave.observe import watch
from pgweave.observe.watch import HIDDEN_SECONDS, LONGEST_SECONDS, SHORTEST_SECONDS, Subject, Watcher
from pgweave.runtime.client import Client
from pgweave.workflow import start

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from pgweave.observe.snapshot import Snapshot

APPROVAL = "'SELECT 1' ~> df.wait_for_signal('decision') ~> 'SELECT 2'"
WIDGET = "application/vnd.jupyter.widget-view+json"


class Kernel:
    """A kernel, and everything that it has told its front ends."""

    def __init__(self, manager: Any, client: Any) -> None:  # noqa: ANN401 - jupyter_client has no types
        self.manager, self.client = manager, client
        self.heard: list[dict[str, Any]] = []

    def until(self, found: Callable[[dict[str, Any]], Any]) -> Any:  # noqa: ANN401
        """Read what it says until something fits; what `found` makes of that."""
        deadline = monotonic() + PATIENCE_SECONDS
        while True:
            try:
                message = self.client.get_iopub_msg(timeout=max(0.0, deadline - monotonic()))
            except Empty:
                raise AssertionError(f"waited in vain; heard: {[one['msg_type'] for one in self.heard]}") from None
            self.heard.append(message)
            if (value := found(message)) not in (None, False):
                return value

    def run(self, code: str) -> list[dict[str, Any]]:
        """Run a cell; what it says until it is idle."""
        before = len(self.heard)
        request = self.client.execute(code)
        self.until(lambda one: one["parent_header"].get("msg_id") == request and idle(one))
        said = self.heard[before:]
        errors = ["\n".join(one["content"]["traceback"]) for one in said if one["msg_type"] == "error"]
        assert not errors, errors
        return said


def idle(message: dict[str, Any]) -> bool:
    return bool(message["msg_type"] == "status" and message["content"]["execution_state"] == "idle")


def shown(message: dict[str, Any], kind: str) -> str | None:
    """What a message shows or replaces, in one form."""
    if message["msg_type"] not in {"display_data", "update_display_data"}:
        return None
    return message["content"]["data"].get(kind)  # type: ignore[no-any-return]


def states(message: dict[str, Any]) -> dict[str, str]:
    """The states that a message gives to the boxes of the widget."""
    state = message["content"].get("data", {}).get("state", {}) if message["msg_type"].startswith("comm_") else {}
    return dict(state.get("states", {}))


@contextmanager
def kernel(folder: Path, dsn: str) -> Iterator[Kernel]:
    environment = {**os.environ, "PGWEAVE_DSN": dsn, "IPYTHONDIR": str(folder), "JUPYTER_RUNTIME_DIR": str(folder)}
    manager, client = start_new_kernel(kernel_name="python3", env=environment)
    try:
        yield Kernel(manager, client)
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=False)


def test_a_run_in_a_kernel_from_its_start_over_an_interrupt_and_a_restart_to_its_end(
    tmp_path: Path, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One story in one kernel, because kernels start slowly."""
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(tmp_path))
    with kernel(tmp_path, database) as here:
        said = here.run(f"import pgweave\nrun = pgweave.parse({APPROVAL!r}).start()")
        words, picture = [one["content"] for one in said if one["msg_type"] == "display_data"]
        assert "text/html" in words["data"]
        assert WIDGET in picture["data"]
        assert picture["data"]["image/svg+xml"].startswith("<svg"), "for front ends without widgets"

        boxes = here.until(lambda one: states(one) if states(one).get("n4") == "waiting" else None)
        assert boxes["n3"] == "completed"
        assert here.until(lambda one: "run.signal('decision', {...})" in (shown(one, "text/plain") or ""))

        # An interrupt is for the person's own code.
        request = here.client.execute("print('waiting', flush=True)\nrun.wait()")
        here.until(lambda one: one["msg_type"] == "stream" and "waiting" in one["content"]["text"])
        here.manager.interrupt_kernel()
        here.until(lambda one: one["msg_type"] == "error" and one["content"]["ename"] == "KeyboardInterrupt")
        here.until(lambda one: one["parent_header"].get("msg_id") == request and idle(one))
        here.run(
            "from pgweave.observe import background\nassert background.ensure_worker(run.dsn) is background.Who.THIS_PROCESS"
        )

        here.run("kept = run.id\nprint(kept)")
        kept = next(one["content"]["text"].strip() for one in reversed(here.heard) if one["msg_type"] == "stream")
        here.manager.restart_kernel(now=False)
        here.client.wait_for_ready(timeout=PATIENCE_SECONDS)
        with Client(database) as client:
            assert client.workers() == [], "the worker went with the kernel"
            assert client.status(kept) == "running"

        here.run(f"from pgweave import Run\nagain = Run.open({kept!r}).work()\nagain")
        here.run("again.signal('decision')")
        title = f"{kept}: completed"
        last = here.until(
            lambda one: (
                one["content"] if title in (shown(one, "text/plain") or "") and shown(one, "image/svg+xml") else None
            )
        )
        assert WIDGET not in last["data"], "what is saved needs no kernel"
        assert last["data"]["image/svg+xml"].count("state_completed") == 3

        # nbconvert and the like take the last picture only from a cell that runs, so whoever waits must show it.
        here.run("import pgweave\nnap = pgweave.parse('df.sleep(1)').start()")
        said = here.run("nap.wait()")
        assert any("state_completed" in (shown(one, "image/svg+xml") or "") for one in said)


class Recorder(Watcher):
    """A watcher that notes how long it would rest, and does not."""

    def __init__(self, dsn: str, pauses: int) -> None:
        super().__init__(dsn)
        self.pauses: list[float] = []
        self._left = pauses

    def pause(self, sockets: object, seconds: float, least: float = 0.0) -> bool:
        self.pauses.append(seconds)
        if len(self.pauses) == self._left:
            self.subjects.clear()
        return False


def recorded(dsn: str, text: str, *, visible: bool = True, pauses: int = 20) -> tuple[Recorder, list[Snapshot]]:
    """Watch a program that waits, until the watcher has paused so many times.

    How long a look takes, which lengthens the pause behind it, is left out: it depends on how busy the machine is.
    """
    workflow = pgweave.parse(text)
    seen: list[Snapshot] = []
    with with_worker(dsn) as place, pytest.MonkeyPatch.context() as patch:
        patch.setattr(watch, "SHARE", 0)
        instance_id = start(place.client, workflow)
        place.events.wait_for("parked", instance_id)
        watcher = Recorder(dsn, pauses)
        watcher.subjects.append(Subject(instance_id, workflow, seen.append, visible=visible))
        watch._watchers[dsn] = watcher
        watcher.run()
    return watcher, seen


def test_while_nothing_happens_the_database_is_asked_less_and_less_often(database: str) -> None:
    watcher, seen = recorded(database, "df.wait_for_signal('go')")
    assert watcher.pauses[0] < 1.0
    assert watcher.pauses[-1] == LONGEST_SECONDS
    assert len(seen) <= 2, "and the callback is not called again"


def test_a_hidden_picture_is_looked_at_seldom(database: str) -> None:
    watcher, _ = recorded(database, "df.wait_for_signal('go')", visible=False)
    assert watcher.pauses[-1] == HIDDEN_SECONDS


def test_the_end_of_a_sleep_is_seen_when_it_comes(database: str) -> None:
    """Not as late as the next question would have been."""
    watcher, _ = recorded(database, "df.sleep(1)", visible=False, pauses=14)
    assert max(watcher.pauses) <= 1.0 + SHORTEST_SECONDS


def test_a_change_is_told_and_the_end_ends_the_watching(database: str) -> None:
    workflow = pgweave.parse("df.wait_for_signal('go') ~> 'SELECT 1'")
    seen: list[Snapshot] = []
    with with_worker(database) as place:
        instance_id = start(place.client, workflow)
        watcher = watch.watch(database, Subject(instance_id, workflow, seen.append))
        place.events.wait_for("parked", instance_id)
        place.client.signal(instance_id, "go")
        watcher.join(PATIENCE_SECONDS)
        assert not watcher.is_alive()
    assert seen[-1].status == "completed"
    assert database not in watch._watchers
