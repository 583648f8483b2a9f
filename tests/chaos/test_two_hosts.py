"""Two workers on two hosts: network namespaces, each with a cable of its own to the server's namespace.

A cable that is pulled in the middle of a step is silent: nothing tells the server or the worker. The other worker takes
over when the lease is over, and nothing is done twice.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from time import monotonic
from typing import TYPE_CHECKING

import psycopg
import pytest
from chaos.workers import LEASE_SECONDS
from support.checker import check
from support.work import PATIENCE_SECONDS, Database

from pgweave.runtime import migrate
from pgweave.runtime.server import embedded

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LONG_LEASE_SECONDS = 20.0
POLL_SECONDS = 0.2
SLACK_SECONDS = 2.0  # on a busy machine, for a claim, a session and a step
STEPS = 5
STEP_SECONDS = 0.5
NAMES = (f"pgweave-server-{os.getpid()}", f"pgweave-one-{os.getpid()}", f"pgweave-two-{os.getpid()}")
NETWORK = ("10.231.1", "10.231.2")  # .1 is the server's end of the cable, .2 the worker's


def run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr.strip()}")


@contextmanager
def namespaces() -> Iterator[None]:
    """A server's namespace and two workers', with a cable from the first to each of the others. A skip where there is no way."""
    if os.geteuid() != 0:
        pytest.skip("network namespaces are root's to make")
    for program in ("ip", "setpriv"):
        if shutil.which(program) is None:
            pytest.skip(f"`{program}` is not installed (apt-get install iproute2 util-linux)")
    with ExitStack() as stack:
        try:
            for name in NAMES:
                run("ip", "netns", "add", name)
                stack.callback(run, "ip", "netns", "del", name)
        except RuntimeError as error:
            pytest.skip(f"no network namespace can be made here: {error}")
        for number, (network, name) in enumerate(zip(NETWORK, NAMES[1:], strict=True)):
            run(
                "ip",
                "-n",
                NAMES[0],
                "link",
                "add",
                f"cable{number}",
                "type",
                "veth",
                "peer",
                "name",
                "cable",
                "netns",
                name,
            )
            run("ip", "-n", NAMES[0], "address", "add", f"{network}.1/30", "dev", f"cable{number}")
            run("ip", "-n", name, "address", "add", f"{network}.2/30", "dev", "cable")
            run("ip", "-n", NAMES[0], "link", "set", f"cable{number}", "up")
            run("ip", "-n", name, "link", "set", "cable", "up")
        yield


@dataclass
class Host:
    """A worker's namespace. number: of its cable."""

    number: int
    process: subprocess.Popen[bytes]

    def plug(self, *, pulled: bool) -> None:
        run("ip", "-n", NAMES[0], "link", "set", f"cable{self.number}", "down" if pulled else "up")

    @property
    def pid(self) -> int:
        return self.process.pid


@contextmanager
def worker(number: int, lease_seconds: float, log: Path) -> Iterator[Host]:
    """A worker on one of the two hosts."""
    with log.open("ab") as said:
        process = subprocess.Popen(
            ["ip", "netns", "exec", NAMES[1 + number], sys.executable, "-m", "pgweave", "worker",
             "--dsn", f"host={NETWORK[number]}.1 user=postgres dbname=postgres",
             "--lease-seconds", str(lease_seconds), "--poll-seconds", str(POLL_SECONDS)],
            stdout=said, stderr=said,
        )  # fmt: skip
    try:
        yield Host(number, process)
    finally:
        process.kill()
        process.wait()


@contextmanager
def server() -> Iterator[Database]:
    """A server that listens on its ends of the cables, and on a Unix socket, through which the test asks."""
    with embedded.temporary() as made:
        migrate.install(made.dsn)
        cluster = made.cluster
        cluster.stop()
        with (cluster.data / "pg_hba.conf").open("a") as access:
            access.writelines(f"host all all {network}.0/30 trust\n" for network in NETWORK)
        addresses = ",".join(f"{network}.1" for network in NETWORK)
        postmaster = subprocess.Popen(
            ["ip", "netns", "exec", NAMES[0], "setpriv", f"--reuid={cluster.uid}", f"--regid={cluster.gid}",
             "--clear-groups", str(cluster.programs / "bin" / "postgres"), "-D", str(cluster.data),
             "-k", str(cluster.socket_dir), "-c", f"listen_addresses={addresses}"],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=cluster.base,
        )  # fmt: skip
        try:
            until = monotonic() + PATIENCE_SECONDS
            while True:
                try:
                    psycopg.connect(made.dsn).close()
                    break
                except psycopg.OperationalError:
                    assert postmaster.poll() is None, "the server did not start"
                    assert monotonic() < until
            place = Database(made.dsn)
            place.sql("create table fx (step text, at timestamptz default clock_timestamp())")
            yield place
            place.client.close()
        finally:
            postmaster.send_signal(signal.SIGQUIT)  # an immediate stop
            postmaster.wait()


@pytest.fixture(scope="module")
def place() -> Iterator[Database]:
    with namespaces(), server() as found:
        yield found


@pytest.fixture
def hosts(place: Database, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[list[Host]]:
    """Both workers, at work. The parameter, if there is one, is their lease in seconds."""
    lease = float(getattr(request, "param", LEASE_SECONDS))
    with ExitStack() as stack:
        made = [stack.enter_context(worker(number, lease, tmp_path / f"worker{number}.log")) for number in range(2)]
        pids = f"array[{made[0].pid}, {made[1].pid}]"
        place.until(f"(select count(*) = 2 from df.workers where split_part(name, ':', 2)::integer = any ({pids}))")
        place.sql("truncate fx")
        yield made


def step(name: object) -> str:
    return f"$$INSERT INTO fx SELECT '{name}' FROM pg_sleep({STEP_SECONDS})$$"


def in_the_middle_of_a_step(place: Database, host: Host, other: Host) -> str:
    """An instance that the worker of this host has, of which a step is done and the next one runs."""
    os.kill(other.pid, signal.SIGSTOP)
    try:
        instance = place.start(" ~> ".join(step(n) for n in range(STEPS)))
        place.until(
            "(select count(*) >= 1 from fx) and exists (select from pg_stat_activity"
            " where application_name = 'pgweave step' and state = 'active')"
        )
    finally:
        os.kill(other.pid, signal.SIGCONT)
    assert place.sql("select split_part(worker, ':', 2)::integer from df.queue") == [(host.pid,)]
    return instance


def taken_over(place: Database, instance: str, other: Host) -> float:
    """Seconds until the other worker has it."""
    began = monotonic()
    place.until(
        f"exists (select from df.queue where instance_id = '{instance}' and split_part(worker, ':', 2) = '{other.pid}')"
    )
    return monotonic() - began


def each_step_once(place: Database, instance: str, *more: str) -> None:
    assert place.ended(instance).status == "completed"
    wanted = [(name, 1) for name in (*map(str, range(STEPS)), *more)]
    assert place.sql("select step, count(*) from fx group by 1 order by 1") == wanted


@pytest.mark.parametrize("number", [0, 1])
def test_when_the_cable_of_a_host_is_pulled_the_other_takes_over_within_the_lease(
    place: Database, hosts: list[Host], number: int
) -> None:
    """Plugged in again, the first host works on, and changes nothing of what was done."""
    host, other = hosts[number], hosts[1 - number]
    instance = in_the_middle_of_a_step(place, host, other)
    host.plug(pulled=True)
    try:
        seconds = taken_over(place, instance, other)
        print(f"taken over after {seconds:.2f} s; the lease is {LEASE_SECONDS} s")
        # The server ends the step that runs, and a claim passes over an instance while a step has it.
        assert seconds < LEASE_SECONDS + STEP_SECONDS + POLL_SECONDS + SLACK_SECONDS
        each_step_once(place, instance)
    finally:
        host.plug(pulled=False)
    other.process.kill()
    other.process.wait()
    assert place.finish(step("alone")).status == "completed", "the host that was away has to do this one"
    each_step_once(place, instance, "alone")
    check(place.dsn)


@pytest.mark.parametrize("number", [0, 1])
def test_when_the_cable_of_the_other_host_is_pulled_the_work_goes_on(
    place: Database, hosts: list[Host], number: int
) -> None:
    host, other = hosts[number], hosts[1 - number]
    instance = in_the_middle_of_a_step(place, host, other)
    other.plug(pulled=True)
    try:
        each_step_once(place, instance)
    finally:
        other.plug(pulled=False)
    check(place.dsn)


@pytest.mark.parametrize("hosts", [LONG_LEASE_SECONDS], indirect=True)
def test_when_a_worker_is_killed_the_other_host_does_not_wait_for_the_lease(place: Database, hosts: list[Host]) -> None:
    """The host is there and says that the connection is gone."""
    host, other = hosts
    instance = in_the_middle_of_a_step(place, host, other)
    host.process.kill()
    seconds = taken_over(place, instance, other)
    print(f"taken over after {seconds:.2f} s; the lease is {LONG_LEASE_SECONDS} s")
    assert seconds < LONG_LEASE_SECONDS / 2
    each_step_once(place, instance)
    check(place.dsn)
