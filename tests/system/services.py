"""PostgreSQL and Redis from the system's packages, as processes of their own on free ports."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.system.nodes import free_port, wait_for


@contextmanager
def redis(folder: Path) -> Iterator[str]:
    """A Redis server; its URL."""
    port = free_port()
    command = ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(folder)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as server:
        try:
            ping = ["redis-cli", "-p", str(port), "ping"]
            wait_for(
                "Redis", lambda: subprocess.run(ping, capture_output=True, check=False).returncode == 0, 20
            )
            yield f"redis://127.0.0.1:{port}/0"
        finally:
            server.terminate()


@contextmanager
def postgresql(folder: Path) -> Iterator[str]:
    """A PostgreSQL server with an empty database; its SQLAlchemy URL."""
    port = free_port()
    binaries = sorted(Path("/usr/lib/postgresql").glob("*/bin"))[-1]
    cluster = folder / "cluster"
    cluster.mkdir()
    as_user: list[str] = []
    if os.geteuid() == 0:  # PostgreSQL refuses to run as root
        shutil.chown(cluster, "postgres", "postgres")
        for parent in (folder, *folder.parents):
            if not parent.stat().st_mode & 0o001:
                parent.chmod(parent.stat().st_mode | 0o011)
        as_user = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"]
    initialise = [*as_user, binaries / "initdb", "-D", cluster, "-A", "trust", "-U", "ainode", "-E", "UTF8"]
    subprocess.run(initialise, check=True, capture_output=True)
    options = [
        "-c",
        f"port={port}",
        "-c",
        "listen_addresses=127.0.0.1",
        "-c",
        f"unix_socket_directories={cluster}",
    ]
    command = [*as_user, binaries / "postgres", "-D", cluster, *options]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
        try:
            ready = [binaries / "pg_isready", "-h", "127.0.0.1", "-p", str(port), "-q"]
            wait_for("PostgreSQL", lambda: subprocess.run(ready, check=False).returncode == 0, 30)
            yield f"postgresql+psycopg://ainode@127.0.0.1:{port}/postgres"
        finally:
            server.terminate()
