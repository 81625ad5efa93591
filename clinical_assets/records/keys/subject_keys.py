"""One random key a subject, in a file of its own per cohort, apart from the data.

What belongs here: making, finding and destroying keys. What does not: making pseudonyms from them (``pseudonyms``).

``<keys>/subjects/<cohort>.duckdb`` never holds an identifier: a subject is found by HMAC-SHA256 (RFC 2104, FIPS 198-1)
of its identifier under the cohort's lookup key. A destroyed key leaves a tombstone, which is that HMAC alone, and the
file is written anew without the key, because a database keeps the bytes of deleted rows in its free blocks.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from clinical_assets.foundation.atomic_files import PRIVATE, new_file, remove_file
from clinical_assets.foundation.errors import ClinicalAssetsError
from clinical_assets.foundation.locks import hold
from clinical_assets.foundation.settings import Settings

if TYPE_CHECKING:
    import duckdb
    import numpy as np
    import polars as pl

KEY_BYTES = 32
BLOCK_BYTES = 64
"""Block of SHA-256, to which HMAC pads a key."""
_INNER, _OUTER = 0x36, 0x5C
_PRIVATE_FOLDER = 0o700


class SubjectKeyError(ClinicalAssetsError):
    """A file of subject keys that cannot be used."""


class SubjectKeys:
    """Keys of the subjects of one cohort.

    Parameters
    ----------
    settings : Settings
        Names the folder of keys.
    cohort : str
        Name of the cohort; it names the file.
    """

    def __init__(self, settings: Settings, cohort: str) -> None:
        self.settings = settings
        self.cohort = cohort

    @property
    def path(self) -> Path:
        """The file, whether or not it exists yet."""
        return self.settings.keys / "subjects" / f"{self.cohort}.duckdb"

    def exists(self) -> bool:
        """True once a key was made or a subject erased."""
        return self.path.exists()

    @contextlib.contextmanager
    def open(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """A connection in one transaction with the keys as ``keys`` and in use; other processes wait.

        Tables: ``subject_keys(lookup, version, key)``, ``tombstones(lookup, erased_at)``, ``versions(version, made_at,
        retired_at)``, and for this connection alone ``lookup_pads(inner_pad, outer_pad)``.

        Raises
        ------
        SubjectKeyError
            When another process holds the keys for longer than the patience of the settings, or the file is damaged.
        """
        with self._held():
            connection = self._connect()
            try:
                connection.execute("BEGIN TRANSACTION")
                self._prepare(connection)
                yield connection
                connection.execute("COMMIT")
            finally:
                # Closing takes back what was not committed.
                connection.close()
            self.path.chmod(PRIVATE)

    def rewrite(self) -> None:
        """Write the file anew from its live rows, so that nothing of a destroyed key is left in it."""
        with self._held(), new_file(self.path, mode=PRIVATE, single_writer=True) as new:
            connection = self._connect()
            try:
                connection.execute(f"ATTACH {_text(str(new))} AS fresh")
                connection.execute("COPY FROM DATABASE keys TO fresh")
                connection.execute("DETACH fresh")
            finally:
                connection.close()
        remove_file(self.path.with_name(f"{self.path.name}.wal"))

    def current_version(self, connection: duckdb.DuckDBPyConnection) -> int:
        """The version under which new pseudonyms are made."""
        found = connection.execute("SELECT max(version) FROM versions").fetchone()
        assert found is not None  # an aggregate yields one row
        return int(found[0])

    def add_version(self, connection: duckdb.DuckDBPyConnection) -> int:
        """Begin the next version; every known subject gets a key of it."""
        old = self.current_version(connection)
        new = old + 1
        connection.execute(f"INSERT INTO versions VALUES ({new}, {_text(_now())}, NULL)")
        self.make_keys(connection, f"SELECT lookup FROM subject_keys WHERE version = {old}", version=new)
        return new

    def make_keys(self, connection: duckdb.DuckDBPyConnection, lookups: str, *, version: int) -> int:
        """Make a random key for each lookup that ``lookups`` (a SELECT of distinct ones) yields; says how many."""
        import numpy as np
        import pyarrow as pa

        table = connection.execute(lookups).to_arrow_table()
        if not table.num_rows:
            return 0
        drawn = np.frombuffer(secrets.token_bytes(KEY_BYTES * table.num_rows), dtype=np.uint8)
        keys = fixed_binary(drawn.reshape(-1, KEY_BYTES))
        connection.register("made_keys", pa.table({"lookup": table.column(0), "key": keys}))
        connection.execute(f"INSERT INTO subject_keys SELECT lookup, {version}, key FROM made_keys")
        connection.unregister("made_keys")
        return int(table.num_rows)

    def look_up(self, connection: duckdb.DuckDBPyConnection, identifiers: pl.Series) -> None:
        """Make the temporary table ``asked(identifier, lookup)`` of distinct identifiers that are not null."""
        distinct = identifiers.drop_nulls().unique().alias("identifier").to_frame()
        connection.register("given_identifiers", distinct.to_arrow())
        connection.execute(
            "CREATE OR REPLACE TEMP TABLE asked AS SELECT identifier, "
            f"{hmac_sql('outer_pad', 'inner_pad', 'identifier')} AS lookup FROM given_identifiers, lookup_pads"
        )
        connection.unregister("given_identifiers")

    @contextlib.contextmanager
    def _held(self) -> Iterator[None]:
        folder = self.path.parent
        folder.mkdir(parents=True, exist_ok=True)
        for private in (self.settings.keys, folder):
            private.chmod(_PRIVATE_FOLDER)
        with hold(
            folder / f"{self.cohort}.lock",
            wanted=f"the subject keys of cohort {self.cohort!r}",
            patience_s=self.settings.lock_patience_s,
            error=SubjectKeyError,
        ):
            yield

    def _connect(self) -> duckdb.DuckDBPyConnection:
        import duckdb

        connection = duckdb.connect(
            ":memory:",
            config={
                "memory_limit": self.settings.memory_limit,
                "threads": self.settings.threads,
                # Keys spill into their own folder or nowhere.
                "temp_directory": str(self.path.parent / f".{self.cohort}.spill"),
                "autoinstall_known_extensions": False,
                "autoload_known_extensions": False,
            },
        )
        try:
            connection.execute(f"ATTACH {_text(str(self.path))} AS keys")
        except duckdb.Error as error:
            connection.close()
            raise SubjectKeyError(
                f"The subject keys {self.path.name} cannot be opened.",
                cure="Restore the file from the backup of the folder of keys; without it old pseudonyms are lost.",
            ) from error
        connection.execute("USE keys")
        return connection

    def _prepare(self, connection: duckdb.DuckDBPyConnection) -> None:
        connection.execute("CREATE TABLE IF NOT EXISTS lookup_key (key BLOB)")
        connection.execute("CREATE TABLE IF NOT EXISTS versions (version INTEGER, made_at VARCHAR, retired_at VARCHAR)")
        connection.execute("CREATE TABLE IF NOT EXISTS subject_keys (lookup BLOB, version INTEGER, key BLOB)")
        connection.execute("CREATE TABLE IF NOT EXISTS tombstones (lookup BLOB, erased_at VARCHAR)")
        found = connection.execute("SELECT key FROM lookup_key").fetchall()
        key = bytes(found[0][0]) if found else secrets.token_bytes(KEY_BYTES)
        if not found:
            self._register(connection, "new_lookup", {"key": [key]})
            connection.execute("INSERT INTO lookup_key SELECT key FROM new_lookup")
            connection.execute(f"INSERT INTO versions VALUES (1, {_text(_now())}, NULL)")
        import numpy as np

        inner, outer = pads(np.frombuffer(key, dtype=np.uint8).reshape(1, KEY_BYTES))
        # A table, not literals: a statement that fails is quoted in the error.
        self._register(connection, "lookup_pads", {"inner_pad": [inner.tobytes()], "outer_pad": [outer.tobytes()]})

    @staticmethod
    def _register(connection: duckdb.DuckDBPyConnection, name: str, columns: dict[str, list[bytes]]) -> None:
        import pyarrow as pa

        connection.register(name, pa.table({key: pa.array(values, pa.binary()) for key, values in columns.items()}))


def hmac_sql(outer: str, inner: str, message: str) -> str:
    """SQL of HMAC-SHA256 as bytes: two BLOB columns with the padded keys, and an expression that yields text."""
    return f"unhex(sha256({outer} || unhex(sha256({inner} || encode({message})))))"


def pads(keys: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Inner and outer pad of HMAC, (n, 64) bytes each, for keys of (n, 32) bytes."""
    import numpy as np

    padded = np.zeros((keys.shape[0], BLOCK_BYTES), dtype=np.uint8)
    padded[:, : keys.shape[1]] = keys
    return padded ^ _INNER, padded ^ _OUTER


def fixed_binary(rows: np.ndarray) -> object:
    """Rows of bytes (n, width) as an Arrow array, without a copy a row."""
    import numpy as np
    import pyarrow as pa

    whole = np.ascontiguousarray(rows)
    buffer = pa.py_buffer(whole)
    return pa.FixedSizeBinaryArray.from_buffers(pa.binary(rows.shape[1]), rows.shape[0], [None, buffer])


def now() -> str:
    """The time now as the files of keys write it."""
    return _now()


def _now() -> str:
    return dt.datetime.now(dt.UTC).isoformat(timespec="seconds")


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"
