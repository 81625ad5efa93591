"""The warehouse of one cohort: a DuckDB file that is read often, written rarely, and never half written.

What belongs here: opening for reading and for writing, one run at a time. What does not: what is in the tables.

Every write is one transaction. DuckDB keeps the old tables until the new ones are on disk, so a process that is
killed at any moment leaves the old ones; the next opening finishes or forgets what was under way.
"""

from __future__ import annotations

import contextlib
import logging
import os
import threading
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
from pydantic import TypeAdapter, ValidationError

from clinical_assets.cohorts.base import Name
from clinical_assets.foundation.errors import WarehouseError, engine_words
from clinical_assets.foundation.locks import Busy, hold, wait_until_free
from clinical_assets.foundation.scratch_folder import sweep_scratch_folders
from clinical_assets.foundation.settings import Settings
from clinical_assets.warehouse.store import encryption, locks
from clinical_assets.warehouse.store.connections import DATABASE, attached, plain_words, plainly, spill_root
from clinical_assets.warehouse.store.database_files import Extent, cut_back, make_database
from clinical_assets.warehouse.store.sql_text import literal, quoted

if TYPE_CHECKING:
    import polars

_log = logging.getLogger(__name__)
_ABOUT_STATEMENTS = (duckdb.BinderException, duckdb.CatalogException, duckdb.ParserException, duckdb.SyntaxException)
_NAME: TypeAdapter[str] = TypeAdapter(Name)


@dataclass(frozen=True)
class TableInfo:
    """One table of the warehouse."""

    schema: str
    name: str
    rows: int
    columns: int


class Warehouse:
    """The DuckDB file of one cohort.

    Parameters
    ----------
    cohort : str
        Name of the cohort; it names the file and goes into the encryption key.
    settings : Settings
        Where the file lies, how much memory and how many threads a connection may use, how long to wait.

    Raises
    ------
    WarehouseError
        When ``cohort`` is no name of a cohort.
    """

    def __init__(self, cohort: str, settings: Settings) -> None:
        try:
            self.cohort = _NAME.validate_python(cohort)
        except ValidationError as error:
            raise WarehouseError(f"{cohort!r} is not the name of a cohort.") from error
        self.settings = settings

    @property
    def path(self) -> Path:
        """The file, whether or not it exists yet."""
        return self.settings.warehouse / f"{self.cohort}.duckdb"

    def exists(self) -> bool:
        """True once something has been written."""
        return self.path.exists()

    @contextlib.contextmanager
    def exclusive(self) -> Iterator[None]:
        """Hold the cohort for one run; another run of the same cohort waits, one of another cohort does not.

        The thread that holds it may enter again, so a run can hold the cohort from its first step to its last.

        Raises
        ------
        WarehouseError
            When another run holds the cohort longer than the patience of the settings.
        """
        with (
            plain_words(self.settings, self.cohort),
            hold(
                self.settings.warehouse / f"{self.cohort}.lock",
                wanted=f"cohort {self.cohort!r}",
                patience_s=self._patience,
                error=WarehouseError,
            ),
        ):
            yield

    @contextlib.contextmanager
    def reader(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """A connection that sees the committed tables and can change nothing nor open any other file.

        Several readers share the file, in one process and between processes. A reader waits while a writer has the
        file. Results must be read before the block ends.

        Raises
        ------
        WarehouseError
            When there is no warehouse yet, it cannot be opened, or a writer holds it longer than the patience of the
            settings; also inside a ``writer()`` block of the same thread, which has its own connection.
        """
        use = locks.use_of(self.path)
        thread = threading.get_ident()
        wait_until_free(
            lambda: self._join(use, thread), wanted=self._wanted, patience_s=self._patience, error=WarehouseError
        )
        try:
            with use.mutex:
                assert use.instance is not None  # while a reader is counted, its instance is open
                cursor = use.instance.cursor()
            with contextlib.closing(cursor):
                cursor.execute(f"USE {DATABASE}")
                try:
                    with plain_words(self.settings, self.cohort):
                        yield cursor
                finally:
                    # A result that was not read to its end would keep the file open after it is detached; any
                    # statement ends it, and this one ends a transaction of the block's own, too.
                    with contextlib.suppress(duckdb.TransactionException):
                        cursor.execute("ROLLBACK")
        finally:
            with use.mutex:
                use.readers[thread] -= 1
                use.readers += Counter()  # drops threads that count zero
                if not use.readers:
                    close, use.close, use.instance, use.key = use.close, None, None, None
                    assert close is not None
                    close()

    @contextlib.contextmanager
    def writer(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """A connection in one transaction: committed at the end of the block, taken back when the block fails.

        The file is made when it does not exist yet, with all schemas. The cohort is held for the time of the block.

        Raises
        ------
        WarehouseError
            When the file cannot be opened or is held longer than the patience of the settings, when space or memory
            run out, or inside another ``reader()`` or ``writer()`` block of the same thread.
        """
        use = locks.use_of(self.path)
        thread = threading.get_ident()
        with use.mutex:
            if use.readers[thread] or use.writer == thread:
                raise WarehouseError(
                    f"The warehouse of {self.cohort!r} is written inside a block that reads or writes it already.",
                    cure="Use the connection of the outer block, or end that block first.",
                )
        with self.exclusive():
            with use.mutex:
                use.writers_waiting += 1
            try:
                wait_until_free(
                    lambda: _claim(use, thread), wanted=self._wanted, patience_s=self._patience, error=WarehouseError
                )
            finally:
                with use.mutex:
                    use.writers_waiting -= 1
            try:
                with plain_words(self.settings, self.cohort):
                    sweep_scratch_folders(spill_root(self.settings), prefix=f"{self.cohort}-")
                    make_database(self.path, self.settings, self.cohort)
                    with self._transaction() as connection:
                        yield connection
            finally:
                with use.mutex:
                    use.writer = None

    def tables(self) -> list[TableInfo]:
        """All tables with their sizes, by schema and name; empty when there is no warehouse yet."""
        if not self.exists():
            return []
        with self.reader() as connection:
            found = connection.execute(
                "SELECT schema_name, table_name, column_count FROM duckdb_tables() "
                f"WHERE database_name = {literal(DATABASE)} AND NOT internal ORDER BY ALL"
            ).fetchall()
            return [
                TableInfo(
                    schema=schema,
                    name=name,
                    rows=_one(connection, f"SELECT count(*) FROM {quoted(schema)}.{quoted(name)}"),
                    columns=columns,
                )
                for schema, name, columns in found
            ]

    def query(self, sql: str, parameters: Sequence[Any] | Mapping[str, Any] | None = None) -> polars.DataFrame:
        """Answer one question about the tables.

        Parameters
        ----------
        sql : str
            A statement; what it would change is refused.
        parameters : sequence or mapping, optional
            Values for ``?`` or ``$name`` in the statement.

        Raises
        ------
        WarehouseError
            With DuckDB's own words when the statement cannot be answered.
        """
        with self.reader() as connection:
            try:
                return connection.execute(sql, parameters).pl()
            except duckdb.Error as error:
                if plainly(error, self.settings, self.cohort) is not None:
                    raise
                # The parser and the binder quote the statement; whatever runs quotes records.
                words = str(error) if isinstance(error, _ABOUT_STATEMENTS) else engine_words(error, known=sql)
                raise WarehouseError(
                    f"The warehouse of {self.cohort!r} cannot answer: {words}",
                    cure=f"clinical-assets warehouse tables {self.cohort} lists what there is.",
                ) from None

    @property
    def _wanted(self) -> str:
        return f"the warehouse of cohort {self.cohort!r}"

    @property
    def _patience(self) -> float:
        return self.settings.lock_patience_s

    def _join(self, use: locks.FileUse, thread: int) -> None:
        """Count this thread among the readers, opening the file for the first of them."""
        key = encryption.cohort_key(self.cohort, self.settings)
        with use.mutex:
            if use.writer == thread:
                raise WarehouseError(
                    f"The warehouse of {self.cohort!r} is read inside a block of the same thread that writes it.",
                    cure="Read through the writer's connection, or after its block.",
                )
            if use.writer is not None:
                raise Busy("another thread of this process")
            if use.writers_waiting and not use.readers[thread]:
                # Readers that come one after the other must not keep a writer waiting for ever.
                raise Busy("a waiting writer of this process")
            if use.instance is None:
                stack = contextlib.ExitStack()
                use.instance = stack.enter_context(attached(self.path, self.settings, self.cohort, read_only=True))
                use.close, use.key = stack.close, key
            elif use.key != key:
                raise encryption.key_wrong(f"Warehouse file {self.path.name}")
            use.readers[thread] += 1

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[duckdb.DuckDBPyConnection]:
        before = Extent.of(self.path)
        opened = contextlib.ExitStack()
        connection = wait_until_free(
            lambda: opened.enter_context(attached(self.path, self.settings, self.cohort, read_only=False)),
            wanted=self._wanted,
            patience_s=self._patience,
            error=WarehouseError,
        )
        try:
            connection.execute("BEGIN TRANSACTION")
            yield connection
            connection.execute("COMMIT")
        except BaseException:
            # A commit that failed has ended the transaction already; whatever is left of it ends with the connection.
            with contextlib.suppress(duckdb.Error):
                connection.execute("ROLLBACK")
            with contextlib.suppress(duckdb.Error):
                opened.close()
            cut_back(self.path, before)
            raise
        try:
            opened.close()
        except duckdb.Error as error:
            # The transaction is safe in the write-ahead log; merging it into the file is tried at every opening.
            text = str(error).replace(f"{self.path.parent}{os.sep}", "")
            _log.warning("Cohort %r is written, but its log could not be merged yet: %s", self.cohort, text)


def _claim(use: locks.FileUse, thread: int) -> None:
    with use.mutex:
        if use.readers or use.writer is not None:
            raise Busy("another thread of this process")
        use.writer = thread


def _one(connection: duckdb.DuckDBPyConnection, sql: str) -> int:
    row = connection.execute(sql).fetchone()
    assert row is not None  # an aggregate without GROUP BY always yields one row
    return int(row[0])
