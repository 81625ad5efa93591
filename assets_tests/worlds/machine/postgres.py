"""A PostgreSQL cluster for the tests' own use, made in a temporary folder and thrown away."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import tempfile
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

_ACCOUNT = "nobody"
_WAIT_S = 30


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """Address of a fresh cluster's database, reached over a socket file; skipped, with the reason, without one.

    ``CLINICAL_ASSETS_TEST_POSTGRES`` names a server to use instead of a cluster of our own.
    """
    pytest.importorskip("psycopg")
    if given := os.environ.get("CLINICAL_ASSETS_TEST_POSTGRES"):
        yield given.replace("postgresql+psycopg://", "postgresql://", 1)
        return
    with cluster() as address:
        yield address


@pytest.fixture
def postgres_url(postgres_server: str) -> Iterator[str]:
    """Address of a schema of the test's own, removed afterwards."""
    import psycopg

    schema = f"test_{uuid.uuid4().hex}"
    with psycopg.connect(postgres_server, autocommit=True) as connection:
        connection.execute(f"CREATE SCHEMA {schema}")
    joint = "&" if "?" in postgres_server else "?"
    yield f"{postgres_server}{joint}options=-csearch_path%3D{schema}"
    with psycopg.connect(postgres_server, autocommit=True) as connection:
        connection.execute(f"DROP SCHEMA {schema} CASCADE")


@contextlib.contextmanager
def cluster() -> Iterator[str]:
    """Make and start a cluster, and stop and remove it at the end."""
    binaries = _binaries()
    # The path of a socket file may have 107 bytes: pytest's folders are too deep.
    folder = Path(tempfile.mkdtemp(prefix="pg-"))
    data, log = folder / "data", folder / "log"
    try:
        if os.geteuid() == 0:
            shutil.chown(folder, _ACCOUNT)
        made = ("--auth=trust", "--username=tests", "--encoding=UTF8", "--locale=C", "--no-sync", f"--pgdata={data}")
        _run([str(binaries / "initdb"), *made])
        # Only the socket file, no port: nothing else on the machine can be met, or reach in.
        options = f"-c listen_addresses='' -c unix_socket_directories='{folder}' -c fsync=off -c max_connections=30"
        control = [str(binaries / "pg_ctl"), f"--pgdata={data}", f"--timeout={_WAIT_S}", "--wait"]
        _run([*control, f"--log={log}", f"--options={options}", "start"])
        try:
            yield f"postgresql://tests@/postgres?host={folder}"
        finally:
            _run([*control, "--mode=immediate", "stop"])
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _binaries() -> Path:
    candidates = [Path(found).resolve().parent for name in ("initdb", "pg_ctl") if (found := shutil.which(name))]
    candidates += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    for folder in candidates:
        if all((folder / name).exists() for name in ("initdb", "pg_ctl", "postgres")):
            return folder
    pytest.skip(
        "no PostgreSQL is installed here (initdb, pg_ctl, postgres), and CLINICAL_ASSETS_TEST_POSTGRES names none"
    )


def _run(command: Sequence[str]) -> None:
    """Run a program of PostgreSQL, which refuses to be root."""
    if os.geteuid() == 0:
        if shutil.which("runuser") is None:
            pytest.skip("PostgreSQL does not run as root, and there is no runuser to become somebody else")
        command = ["runuser", "-u", _ACCOUNT, "--", *command]
    # Output goes nowhere: the server inherits it, and would keep a pipe open for ever.
    with tempfile.TemporaryFile("w+") as said:
        done = subprocess.run(command, stdout=said, stderr=said, cwd="/", check=False)
        said.seek(0)
        if done.returncode != 0:
            pytest.skip(f"PostgreSQL cannot be used here: {said.read().strip()[-300:]}")
