"""The database of records: SQLite in the data folder, or PostgreSQL, with one writer at a time.

What belongs here: opening it, transactions, and what happens after a commit. What does not: tables (``schema``), their
making and their guards (``guards``), and what stands in them.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sqlite3
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import ArgumentError, NoSuchModuleError
from sqlalchemy.pool import NullPool

from clinical_assets.foundation.locks import hold
from clinical_assets.foundation.settings import RECORDS_URI, Settings
from clinical_assets.records import guards, schema
from clinical_assets.records.actors import current_actor
from clinical_assets.records.clock import utc_now
from clinical_assets.records.errors import RecordsError, refusals_of
from clinical_assets.records.keys.installation import trusted_keys
from clinical_assets.records.keys.private_files import private_file, refused
from clinical_assets.records.ledger.anchors import Anchors
from clinical_assets.records.ledger.appending import append_entry
from clinical_assets.records.ledger.canonical import canonical
from clinical_assets.records.ledger.facts.installation import UpgradeFacts
from clinical_assets.records.ledger.transaction import TRANSACTION, Transaction, transaction_of
from clinical_assets.records.ledger.verification import verify
from clinical_assets.records.migrations import runner
from clinical_assets.records.place import mark

__all__ = ["FILE", "RecordsDatabase", "Transaction", "Upgrade", "transaction_of"]

FILE = "records.sqlite"
_BEGIN = "records_begin"
# Any number that no other program asks this server for; transactions that write wait for one another on it.
_ADVISORY_LOCK = 0x636C_696E_5F72_6563
_SEALED_FROM = 2  # the version of the tables
_IN_WAL_MODE = b"\x02\x02"  # bytes 18 and 19 of the file's header
_ASK_AGAIN_S = 0.002
_LONGEST_WAIT_MS = 2_147_483_647
_writing = threading.local()
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Upgrade:
    """What an upgrade of the tables did.

    Attributes
    ----------
    before, after : int
        Versions of the tables; equal when there was nothing to do.
    backup : Path or None
        Copy of the SQLite file as it was; None on a server, whose copies are its operator's.
    """

    before: int
    after: int
    backup: Path | None


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
    def exists(self) -> bool:
        """Whether there is a database; looking makes none. A server's is taken to be there."""
        return self.on_server or self.url.database is None or Path(self.url.database).exists()

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
        mark(self.settings)
        held = self._held()
        if held.intersection({str(engine.url)}):
            raise RecordsError(
                "This thread writes in the database of records already; a second transaction would wait for it for "
                "ever.",
                cure="Pass the connection of the open transaction on to whatever records something within it.",
            )
        held.add(str(engine.url))
        try:
            with refusals_of(self.url), self._turn(engine), self._committed(engine) as (connection, transaction):
                yield connection
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
        connection.info[TRANSACTION] = transaction
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
        """Tables and guards, made by whoever comes first; the others find them.

        Raises
        ------
        RecordsError
            The tables are older than this package, and are not upgraded unasked: on a server, which other machines
            use with their own version, or by a step that does more than add.
        """
        with engine.connect() as connection, connection.begin():
            if guards.complete(connection):
                return
            found = guards.found_version(connection)
        if found is not None and found < schema.VERSION:
            if self.on_server or not runner.adds_only(found):
                raise RecordsError(
                    f"The database of records has version {found}; this package writes version {schema.VERSION}.",
                    cure="End what uses the database, make a backup, and run: clinical-assets records upgrade",
                )
            done = self._upgrade(engine)
            _log.warning(
                "The database of records was upgraded from version %d to %d; the file as it was is %s.",
                done.before,
                done.after,
                done.backup,
            )
            return
        with self._turn(engine), self._alone(engine) as connection:
            guards.make(connection)

    def upgrade(self) -> Upgrade:
        """Bring the tables to the version of this package; a SQLite file is copied first.

        Everything happens in one transaction: the tables are of the old version or of the new one. Copies of a server's
        database are its operator's.

        Raises
        ------
        RecordsError
            When the database cannot be opened, or is of a newer version.
        """
        with self._mutex:
            engine = _postgres(self.url) if self.on_server else _sqlite(self.url, self.settings.lock_patience_s)
            try:
                with refusals_of(self.url):
                    return self._upgrade(engine)
            finally:
                engine.dispose()

    def _upgrade(self, engine: sa.Engine) -> Upgrade:
        with self._turn(engine):
            with engine.connect() as connection, connection.begin():
                # Looked up again now that nobody else writes.
                found = guards.found_version(connection)
            before = schema.VERSION if found is None else found
            backup = None
            if before < schema.VERSION and not self.on_server:
                backup = runner.back_up(Path(str(engine.url.database)), found=before)
            with self._alone(engine) as connection:
                before = guards.found_version(connection) or schema.VERSION
                if before < schema.VERSION:
                    runner.run(connection, found=before)
                guards.make(connection)
                if before < schema.VERSION:
                    self._enter_upgrade(connection, before)
        return Upgrade(before, schema.VERSION, backup)

    def _enter_upgrade(self, connection: sa.Connection, before: int) -> None:
        """Verify what was there and enter the upgrade; from version 1 on, this is the first entry with a seal.

        Raises
        ------
        RecordsError
            The ledger is not whole: a seal would vouch for it.
        """
        first_seal = before < _SEALED_FROM
        report = verify(
            connection,
            Anchors(self.settings),
            shared=self.on_server,
            keys=trusted_keys(self.settings),
            unsealed=first_seal,
        )
        if not report.intact:
            raise RecordsError(
                f"The database of records is not upgraded, because its ledger is not whole: {report.problem}",
                cure="Restore the database of records and the anchors from the newest backup of one moment.",
            )
        values: dict[str, str | None] = {
            "actor": current_actor(self.settings),
            "action": "upgrade",
            "cohort": None,
            "digest": None,
            "reason": None,
            "facts": canonical(UpgradeFacts(before=before, after=schema.VERSION, entries=report.entries).to_json()),
        }
        append_entry(connection, self.settings, values, first_seal=first_seal)

    @contextlib.contextmanager
    def _alone(self, engine: sa.Engine) -> Iterator[sa.Connection]:
        """A writing transaction before the database is ready for ``write``."""
        with self._committed(engine) as (connection, transaction):
            yield connection
        for hook in transaction.after_commit:
            hook()

    @contextlib.contextmanager
    def _committed(self, engine: sa.Engine) -> Iterator[tuple[sa.Connection, Transaction]]:
        """A transaction that is committed at the end; its hooks for the time after are left to the caller."""
        with engine.connect() as connection:
            transaction = self._transaction(connection)
            try:
                with connection.begin():
                    self._wait_for_turn(connection)
                    # Taken when it is our turn: times of the ledger follow the order of its entries.
                    transaction.at = utc_now()
                    yield connection, transaction
                    for last in transaction.before_commit:
                        last(connection)
            finally:
                connection.info.pop(TRANSACTION, None)


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
    with contextlib.ExitStack() as held:
        try:
            held.enter_context(
                hold(
                    path.with_name(f".{path.name}.lock"),
                    wanted=f"the database of records {path}",
                    patience_s=patience_s,
                    error=RecordsError,
                    mode=0o600,
                    longest_pause_s=_ASK_AGAIN_S,
                )
            )
        except OSError as error:
            raise refused(path, error) from error
        yield


def _postgres(url: sa.URL) -> sa.Engine:
    try:
        return sa.create_engine(url, pool_pre_ping=True, pool_size=2, hide_parameters=True)
    except (ModuleNotFoundError, NoSuchModuleError):
        raise RecordsError(
            f"{RECORDS_URI} names PostgreSQL, whose driver psycopg is not installed.",
            cure='Install it with: pip install "clinical-assets[postgres]"',
        ) from None
