"""Pseudonyms of subjects: names that only the holder of the keys can lead back to a person.

What belongs here: from identifiers to pseudonyms and back to nothing. The keys are in ``subject_keys``.

A pseudonym is HMAC-SHA256 (RFC 2104) under the subject's own random key of ``cohort|identifier``, cut to 128 bits:
``p1_`` and 32 hexadecimal digits, where 1 is the version of the key. Destroying a subject's key (``erase``) leaves
its pseudonyms in ledgers and scores without any way back, also for somebody who knows the identifier and holds all
other keys.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from typing import TYPE_CHECKING

import polars as pl

from clinical_assets.foundation.errors import ClinicalAssetsError
from clinical_assets.foundation.settings import Settings
from clinical_assets.records.keys.subject_keys import KEY_BYTES, SubjectKeys, fixed_binary, hmac_sql, now, pads

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

_DIGITS = 32
"""Hexadecimal digits of a pseudonym: 128 bits, so that a million subjects collide with probability 1e-27."""


class PseudonymError(ClinicalAssetsError):
    """A pseudonym that cannot be made."""


class Pseudonyms:
    """Pseudonyms of one cohort.

    Parameters
    ----------
    settings : Settings
        Names the folder of keys and how long to wait for another run.
    cohort : str
        Name of the cohort. The same person has unrelated pseudonyms in two cohorts.
    """

    def __init__(self, settings: Settings, cohort: str) -> None:
        self.cohort = cohort
        self.keys = SubjectKeys(settings, cohort)

    def of(self, identifiers: pl.Series | Sequence[object], *, version: int | None = None) -> pl.Series:
        """Pseudonyms, one per identifier; subjects met for the first time get a key.

        Parameters
        ----------
        identifiers : Series or sequence, length n
            Integers or texts as in the validated tables; white space around a text does not count.
        version : int, optional
            An older version that was not retired: the pseudonyms of that time. By default the current one.

        Returns
        -------
        Series of text, length n
            Null where there is no identifier, where the subject was erased, and for an older version where the subject
            had no key then.

        Raises
        ------
        PseudonymError
            The version does not exist or was retired, or identifiers are neither integers nor texts.
        """
        texts = as_texts(identifiers)
        with self.keys.open() as connection:
            current = self.keys.current_version(connection)
            wanted = current if version is None else version
            self._check_version(connection, wanted)
            self.keys.look_up(connection, texts)
            if wanted == current:
                unknown = (
                    "SELECT lookup FROM asked ANTI JOIN tombstones USING (lookup) "
                    f"ANTI JOIN (SELECT lookup FROM subject_keys WHERE version = {current}) USING (lookup)"
                )
                self.keys.make_keys(connection, unknown, version=current)
            found = connection.execute(
                f"SELECT identifier, key FROM asked JOIN subject_keys USING (lookup) WHERE version = {wanted}"
            ).to_arrow_table()
            names = self._names(connection, found, wanted)
        return texts.to_frame("identifier").join(names, on="identifier", how="left", maintain_order="left")["pseudonym"]

    def all_of(self, identifier: object) -> tuple[str, ...]:
        """Every pseudonym of one subject, newest version first; none after erasure, or before the first use."""
        texts = as_texts([identifier])
        if not self.keys.exists():
            return ()
        with self.keys.open() as connection:
            self.keys.look_up(connection, texts)
            found: list[str] = []
            versions = connection.execute(
                "SELECT DISTINCT version FROM subject_keys SEMI JOIN asked USING (lookup) ORDER BY version DESC"
            ).fetchall()
            for (version,) in versions:
                table = connection.execute(
                    f"SELECT identifier, key FROM asked JOIN subject_keys USING (lookup) WHERE version = {version}"
                ).to_arrow_table()
                found += self._names(connection, table, version)["pseudonym"].to_list()
        return tuple(found)

    def lookup(self, identifier: object) -> str:
        """How the keys name a subject: 64 hexadecimal digits, of use only with the cohort's lookup key."""
        with self.keys.open() as connection:
            self.keys.look_up(connection, as_texts([identifier]))
            row = connection.execute("SELECT lower(hex(lookup)) FROM asked").fetchone()
        if row is None:
            raise PseudonymError("There is no identifier.", cure="Give the subject's identifier.")
        return str(row[0])

    def erase(self, identifier: object) -> str | None:
        """Destroy a subject's keys of every version and leave a tombstone.

        Returns
        -------
        str or None
            The pseudonym that can no longer be linked; None when the subject was erased before. A subject that never
            had one gets the name that nobody will ever be able to compute again.
        """
        texts = as_texts([identifier])
        if texts.null_count():
            raise PseudonymError("There is no identifier.", cure="Give the subject's identifier.")
        with self.keys.open() as connection:
            self.keys.look_up(connection, texts)
            version = self.keys.current_version(connection)
            already = connection.execute("SELECT 1 FROM tombstones SEMI JOIN asked USING (lookup)").fetchone()
            table = connection.execute(
                f"SELECT identifier, key FROM asked JOIN subject_keys USING (lookup) WHERE version = {version}"
            ).to_arrow_table()
            names = self._names(connection, table, version)["pseudonym"].to_list()
            connection.execute("DELETE FROM subject_keys WHERE lookup IN (SELECT lookup FROM asked)")
            if already is None:
                connection.execute(f"INSERT INTO tombstones SELECT lookup, '{now()}' FROM asked")
        # Also after an erasure that was interrupted between its transaction and this.
        self.keys.rewrite()
        if already is not None:
            return None
        return names[0] if names else f"p{version}_{secrets.token_hex(_DIGITS // 2)}"

    def any_erased(self) -> bool:
        """True when at least one subject was erased; cheap where no key was ever made."""
        if not self.keys.exists():
            return False
        with self.keys.open() as connection:
            return connection.execute("SELECT 1 FROM tombstones LIMIT 1").fetchone() is not None

    def erased(self, identifiers: pl.Series | Sequence[object]) -> pl.Series:
        """Which identifiers belong to erased subjects.

        Returns
        -------
        Series of bool, length n
            Never null.
        """
        texts = as_texts(identifiers)
        if not self.any_erased():
            return pl.repeat(False, texts.len(), dtype=pl.Boolean, eager=True)
        with self.keys.open() as connection:
            self.keys.look_up(connection, texts)
            gone = connection.execute("SELECT identifier FROM asked SEMI JOIN tombstones USING (lookup)").pl()
        return texts.is_in(gone["identifier"].implode()).fill_null(False)

    def rotate(self) -> int:
        """Begin a new key version, for instance after somebody saw the keys; returns it.

        Every known subject gets a new key. Older pseudonyms can be computed with ``of(..., version=...)`` until their
        version is retired; a pseudonym says its version, so nothing that holds old ones need be changed.
        """
        with self.keys.open() as connection:
            return self.keys.add_version(connection)

    def retire(self, version: int) -> int:
        """Destroy all keys of an older version, so that its pseudonyms can no longer be linked; says how many.

        Raises
        ------
        PseudonymError
            The version is the current one, or does not exist or was retired before.
        """
        with self.keys.open() as connection:
            self._check_version(connection, version)
            if version == self.keys.current_version(connection):
                raise PseudonymError(
                    f"Version {version} of the pseudonyms of cohort {self.cohort!r} is the current one.",
                    cure="Rotate first, then retire the version before.",
                )
            row = connection.execute(f"DELETE FROM subject_keys WHERE version = {version}").fetchone()
            connection.execute(f"UPDATE versions SET retired_at = '{now()}' WHERE version = {version}")
        self.keys.rewrite()
        return int(row[0]) if row else 0

    def _check_version(self, connection: duckdb.DuckDBPyConnection, version: int) -> None:
        found = connection.execute(
            f"SELECT 1 FROM versions WHERE version = {int(version)} AND retired_at IS NULL"
        ).fetchone()
        if found is None:
            raise PseudonymError(
                f"The pseudonyms of cohort {self.cohort!r} have no version {version}, or it was retired.",
                cure="Leave the version out for the current one.",
            )

    def _names(self, connection: duckdb.DuckDBPyConnection, found: pa.Table, version: int) -> pl.DataFrame:
        """Pseudonyms of an Arrow table of ``identifier`` and ``key``."""
        import numpy as np
        import pyarrow as pa

        rows = found.num_rows
        if not rows:
            return pl.DataFrame(schema={"identifier": pl.String, "pseudonym": pl.String})
        column = found.column("key").cast(pa.binary(KEY_BYTES)).combine_chunks()
        keys = np.frombuffer(column.buffers()[1], dtype=np.uint8).reshape(-1, KEY_BYTES)
        keys = keys[column.offset : column.offset + rows]
        inner, outer = pads(keys)
        table = pa.table(
            {
                "identifier": found.column("identifier"),
                "inner_pad": fixed_binary(inner),
                "outer_pad": fixed_binary(outer),
            }
        )
        connection.register("keyed", table)
        message = f"'{self.cohort}|' || identifier"
        named: pl.DataFrame = connection.execute(
            f"SELECT identifier, 'p{version}_' || left(lower(hex({hmac_sql('outer_pad', 'inner_pad', message)})), "
            f"{_DIGITS}) AS pseudonym FROM keyed"
        ).pl()
        connection.unregister("keyed")
        return named


def as_texts(identifiers: pl.Series | Sequence[object]) -> pl.Series:
    """Identifiers as the texts that are hashed: whole numbers in decimal digits, texts without white space around.

    Raises
    ------
    PseudonymError
        For other types: a floating-point number or a date is no identifier, as it can be written in several ways.
    """
    series = identifiers if isinstance(identifiers, pl.Series) else pl.Series(list(identifiers), strict=False)
    if series.dtype == pl.Null:
        return series.cast(pl.String)
    if not (series.dtype.is_integer() or series.dtype in (pl.String, pl.Categorical, pl.Enum)):
        raise PseudonymError(
            f"Identifiers of type {series.dtype} have no pseudonym.", cure="Give integers or texts, as validated."
        )
    texts = series.cast(pl.String).str.strip_chars()
    return texts.set(texts.str.len_bytes() == 0, None).alias("identifier")
