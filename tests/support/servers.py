"""Servers of every PostgreSQL that the df schema supports: those of the embedded package, and Debian's where it is there."""

from __future__ import annotations

import os
import shutil
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from support.pace import IN_CI

from pgweave.runtime.server import embedded, provision

if TYPE_CHECKING:
    from collections.abc import Iterator

# CI takes the oldest and the newest of them.
VERSIONS = (15, 18) if IN_CI else (15, 16, 18)
DEBIAN = Path("/usr/lib/postgresql/15")  # `apt-get install postgresql-15`; CI does


@contextmanager
def running(version: int) -> Iterator[str]:
    """DSN of a server of this version, gone with its data afterwards. A skip where it is not installed."""
    if version == 15:
        with _debian() as dsn:
            yield dsn
        return
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PGSERVER_POSTGRES_VERSION", str(version))
        with embedded.temporary() as server:
            patch.undo()
            yield server.dsn


@contextmanager
def _debian() -> Iterator[str]:
    if not (DEBIAN / "bin" / "postgres").is_file():
        pytest.skip(f"PostgreSQL 15 is not installed in {DEBIAN}; apt-get install postgresql-15")
    base = Path(tempfile.mkdtemp(prefix="pgweave-debian-"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PGSERVER_POSTGRES_VERSION", "15")
        patch.setattr(provision, "programs", lambda version: DEBIAN)
        provision.make_base(base)
        cluster = provision.provide(base, 15, lambda said: None)
        if os.geteuid() == 0:
            shutil.chown(base, cluster.uid, cluster.gid)
        # Made here, because its initdb takes no settings.
        made = cluster.run("initdb", "-D", "data", "-U", "postgres", "--auth=trust", "--encoding=UTF8", "--locale=C")
        assert made.returncode == 0, made.stdout
        with (base / "data" / "postgresql.conf").open("a") as settings:
            settings.write("listen_addresses = ''\n")
        server = embedded.start(base, keep=False)
    try:
        yield server.dsn
    finally:
        server.stop()
        shutil.rmtree(base)
