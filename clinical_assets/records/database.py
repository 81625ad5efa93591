"""The database of records: SQLite in the data folder, or PostgreSQL, with one writer at a time.

What belongs here: opening it, transactions, and what happens after a commit. What does not: tables (``schema``), their
making and their guards (``guards``), and what stands in them.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import filelock
import sqlalchemy as sa
from sqlalchemy.exc import ArgumentError, NoSuchModuleError
from sqlalchemy.pool import NullPool

from clinical_assets.records import guards
from clinical_assets.records.clock import utc_now
from clinical_assets.records.private_files import private_file, refused
from clinical_assets.records.refusals import RecordsError, refusals_of
from clinical_assets.settings import LOCK_PATIENCE, RECORDS_URI, Settings

FILE = "records.sqlite"
_BEGIN = "records_begin"
_TRANSACTION = "records_transaction"
# Any number that no other program asks this server for; transactions that write wait for one another on it.
_ADVISORY_LOCK = 0x636C_696E_5F72_6563
_IN_WAL_MODE = b"\x02\x02"  # bytes 18 and 19 of the file's header
_ASK_AGAIN_S = 0.002
_LONGEST_WAIT_MS = 2_147_483_647
_writing = threading.local()


@dataclass
class Transaction:
    """What one writing transaction keeps with it.

    Attributes
    ----------
    at : str
        The time of everything recorded in it.
    before_commit : list of callable
        Called in order with the connection as the last thing before the commit.
    after_commit : list of callable
        Called in order when the transaction has been committed, and never when it has been rolled back.
    notes : dict
        For the modules that write in it, each under its own name.
    """

    at: str = field(default_factory=utc_now)
    before_commit: list[Callable[[sa.Connection], None]] = field(default_factory=list)
    after_commit: list[Callable[[], None]] = field(default_factory=list)
    notes: dict[str, Any] = field(default_factory=dict)


class RecordsDatabase:
    """The database of records of one installation; making this object opens nothing.

    Parameters
    ----------
    settings : Settings
        Say where it is (``records_uri``, else SQLite in ``records``) and how long to wait for another writer.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._mutex = threading.RLock()
        self._opened: tuple[int, sa.Engine] | None = None

    @property
    def url(self) -> sa.URL:
        """Address of the database, with the driver that is used.

        Raises
        ------
        RecordsError
            When it is no address of SQLite or PostgreSQL.
        """
        given = self.settings.records_uri
        if given is None:
            return sa.URL.create("sqlite", database=str(self.settings.records / FILE))
        cure = f"Set {RECORDS_URI} to postgresql://account:password@host/database, or unset it."
        try:
            url = sa.make_url(given)
        except (ArgumentError, ValueError):
            # The parser's words would repeat the address, password included.
            raise RecordsError(f"{RECORDS_URI} holds no database address.", cure=cure) from None
        kind = url.drivername.split("+")[0]
        if kind in {"postgresql", "postgres"}:
            return url.set(drivername="postgresql+psycopg")
        if kind == "sqlite" and url.database and url.database != ":memory:":
            return url.set(drivername="sqlite")
        raise RecordsError(f"{RECORDS_URI} names neither PostgreSQL nor a SQLite file.", cure=cure)

    @property
    def on_server(self) -> bool:
        """True when a server keeps the records, which several machines may use."""
        return self.url.get_backend_name() != "sqlite"

    @property
    def engine(self) -> sa.Engine:
        """The SQLAlchemy engine; the first use in a process makes tables and guards where they are missing.

        Raises
        ------
        RecordsError
            When the database cannot be opened, or was made by a newer version of this package.
        """
        with self._mutex:
            if self._opened is not None and self._opened[0] == os.getpid():
                return self._opened[1]
            if self._opened is not None:
                # A forked child must not end the conversations of its parent.
                self._opened[1].dispose(close=False)
            engine = _postgres(self.url) if self.on_server else _sqlite(self.url, self.settings.lock_patience_s)
            with refusals_of(self.url):
                self._prepare(engine)
            self._opened = (os.getpid(), engine)
            return engine

    @contextlib.contextmanager
    def write(self) -> Iterator[sa.Connection]:
        """One transaction, alone among all writers of all processes; committed at the end, rolled back on an error.

        What ``transaction_of(connection).after_commit`` holds is called once the commit is on disk.

        Raises
        ------
        RecordsError
            When another process writes longer than the patience of the settings, when this thread has a transaction
            open already, or when the database refuses (locked, read-only, disk full).
        """
        engine = self.engine
        held = self._held()
        if held.intersection({str(engine.url)}):
            raise RecordsError(
                "This thread writes in the database of records already; a second transaction would wait for it for "
                "ever.",
                cure="Pass the connection of the open transaction on to whatever records something within it.",
            )
        held.add(str(engine.url))
        try:
            with refusals_of(self.url), self._turn(engine), engine.connect() as connection:
                transaction = self._transaction(connection)
                try:
                    with connection.begin():
                        self._wait_for_turn(connection)
                        # Taken when it is our turn: times of the ledger follow the order of its entries.
                        transaction.at = utc_now()
                        yield connection
                        for last in transaction.before_commit:
                            last(connection)
                finally:
                    connection.info.pop(_TRANSACTION, None)
        finally:
            held.discard(str(engine.url))
        for hook in transaction.after_commit:
            hook()

    @contextlib.contextmanager
    def read(self) -> Iterator[sa.Connection]:
        """One consistent view of everything, however long it is looked at; it holds up no writer.

        Raises
        ------
        RecordsError
            When the database cannot be read.
        """
        engine = self.engine
        with refusals_of(self.url), engine.connect() as connection:
            if self.on_server:
                connection.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
            with connection.begin():
                yield connection

    def _held(self) -> set[str]:
        if not hasattr(_writing, "databases"):
            _writing.databases = set()
        held: set[str] = _writing.databases
        return held

    def _transaction(self, connection: sa.Connection) -> Transaction:
        transaction = Transaction()
        connection.info[_TRANSACTION] = transaction
        if not self.on_server:
            connection.execution_options(**{_BEGIN: "BEGIN IMMEDIATE"})
        return transaction

    def _turn(self, engine: sa.Engine) -> contextlib.AbstractContextManager[None]:
        """The queue for writing in SQLite, which itself lets those who wait sleep for up to 100 ms at a time."""
        if self.on_server:
            return contextlib.nullcontext()
        return _queued(Path(str(engine.url.database)), self.settings.lock_patience_s)

    def _wait_for_turn(self, connection: sa.Connection) -> None:
        if not self.on_server:
            return  # BEGIN IMMEDIATE has waited
        patience_ms = min(max(int(self.settings.lock_patience_s * 1000), 1), _LONGEST_WAIT_MS)
        connection.exec_driver_sql(f"SET LOCAL lock_timeout = {patience_ms}")
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_ADVISORY_LOCK)))

    def _prepare(self, engine: sa.Engine) -> None:
        """Tables and guards, made by whoever comes first; the others find them."""
        with engine.connect() as connection, connection.begin():
            if guards.complete(connection):
                return
        with self._turn(engine), engine.connect() as connection:
            self._transaction(connection)
            try:
                with connection.begin():
                    self._wait_for_turn(connection)
                    guards.make(connection)
            finally:
                connection.info.pop(_TRANSACTION, None)


def transaction_of(connection: sa.Connection) -> Transaction:
    """What belongs to the transaction that ``RecordsDatabase.write`` opened.

    Raises
    ------
    RecordsError
        When the connection is of another kind: its commit could not be followed.
    """
    found = connection.info.get(_TRANSACTION)
    if not isinstance(found, Transaction):
        raise RecordsError(
            "Something was to be recorded outside a writing transaction of the database of records.",
            cure="Pass the connection that `with records.write() as connection` gives.",
        )
    return found


def _sqlite(url: sa.URL, patience_s: float) -> sa.Engine:
    path = Path(str(url.database)).absolute()
    private_file(path)
    with refusals_of(url):
        _write_ahead(path, patience_s)
    patience_ms = min(int(patience_s * 1000), _LONGEST_WAIT_MS)
    # No pool: a connection that outlives its use keeps the log from being folded in, and must not cross a fork.
    engine = sa.create_engine(url.set(database=str(path)), poolclass=NullPool, hide_parameters=True)

    @sa.event.listens_for(engine, "connect")
    def connected(connection: Any, _record: object) -> None:
        connection.isolation_level = None  # the driver begins nothing by itself
        connection.execute(f"PRAGMA busy_timeout = {patience_ms}")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA foreign_keys = ON")

    @sa.event.listens_for(engine, "begin")
    def begun(connection: sa.Connection) -> None:
        connection.exec_driver_sql(connection.get_execution_options().get(_BEGIN, "BEGIN"))

    return engine


def _write_ahead(path: Path, patience_s: float) -> None:
    """Switch a file to SQLite's write-ahead log, which it keeps: readers then hold up no writer."""
    with path.open("rb") as file:
        if file.read(20)[18:] == _IN_WAL_MODE:
            return
    # SQLite does not wait for its turn when it switches: of several first users all but one would be refused.
    with _queued(path, patience_s), contextlib.closing(sqlite3.connect(path, timeout=patience_s)) as first:
        try:
            first.execute("PRAGMA journal_mode = WAL")
        except sqlite3.Error as error:
            raise sa.exc.DatabaseError("PRAGMA journal_mode = WAL", None, error) from error


@contextlib.contextmanager
def _queued(path: Path, patience_s: float) -> Iterator[None]:
    lock = filelock.FileLock(path.with_name(f".{path.name}.lock"), mode=0o600)
    try:
        lock.acquire(timeout=patience_s, poll_interval=_ASK_AGAIN_S)
    except filelock.Timeout:
        raise RecordsError(
            f"Waited {patience_s:.0f} s for the database of records {path}, in which another process writes.",
            cure=f"Let the other process end, or allow more time with {LOCK_PATIENCE}.",
        ) from None
    except OSError as error:
        raise refused(path, error) from error
    try:
        yield
    finally:
        lock.release()


def _postgres(url: sa.URL) -> sa.Engine:
    try:
        return sa.create_engine(url, pool_pre_ping=True, pool_size=2, hide_parameters=True)
    except (ModuleNotFoundError, NoSuchModuleError):
        raise RecordsError(
            f"{RECORDS_URI} names PostgreSQL, whose driver psycopg is not installed.",
            cure='Install it with: pip install "clinical-assets[postgres]"',
        ) from None
