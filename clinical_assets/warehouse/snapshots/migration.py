"""Existing files written anew: encrypted, after a key was configured, or without the bytes of deleted rows.

What belongs here: rewriting what exists. New files are encrypted by whoever writes them. The plain bytes are deleted,
not overwritten: on a disk that could be read by others, wipe its free space afterwards.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass

from clinical_assets.foundation.canonical import file_sha256
from clinical_assets.foundation.errors import WarehouseError
from clinical_assets.foundation.locks import wait_until_free
from clinical_assets.foundation.settings import KEY_FILE, Settings
from clinical_assets.warehouse.snapshots.digests import table_digest
from clinical_assets.warehouse.snapshots.snapshot_files import (
    Snapshot,
    list_snapshots,
    remove_leftovers,
    write_manifest,
    write_parquet,
)
from clinical_assets.warehouse.snapshots.snapshots import damaged
from clinical_assets.warehouse.store import encryption
from clinical_assets.warehouse.store.connections import attach, plain_words, scratch
from clinical_assets.warehouse.store.database_files import new_database
from clinical_assets.warehouse.store.warehouse import Warehouse

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Encrypted:
    """What was encrypted: whether the warehouse file was, and how many snapshots were."""

    warehouse: bool
    snapshots: int


def encrypt_cohort(cohort: str, settings: Settings) -> Encrypted:
    """Encrypt a cohort's warehouse file and snapshots with the configured key; what is encrypted already stays.

    Each file is replaced as a whole once its encrypted copy is on disk, so the work can be interrupted and begun
    again at any time.

    Raises
    ------
    WarehouseError
        When no key is configured, the cohort is in use for longer than the patience of the settings, a file is
        damaged, or no space is left for the copy.
    """
    key = encryption.cohort_key(cohort, settings)
    if key is None:
        raise WarehouseError(
            f"Cohort {cohort!r} cannot be encrypted: no key is configured.",
            cure=f"Set {KEY_FILE} to a file with the key first.",
        )
    warehouse = Warehouse(cohort, settings)
    with warehouse.exclusive(), plain_words(settings, cohort):
        done = warehouse.exists() and _encrypt_file(warehouse, key)
        count = sum(
            _encrypt_snapshot(snapshot, key, settings) for snapshot in list_snapshots(cohort, settings=settings)
        )
    return Encrypted(warehouse=done, snapshots=count)


def rewrite(warehouse: Warehouse, *, key_before: str | None, key_after: str | None) -> None:
    """Write the warehouse file anew from its live rows: a database keeps the bytes of deleted rows in free blocks.

    Raises
    ------
    KeyMissing
        The file is encrypted and `key_before` is None.
    WarehouseError
        The cohort is in use for longer than the patience of the settings.
    """
    path, cohort, patience_s = warehouse.path, warehouse.cohort, warehouse.settings.lock_patience_s
    with (
        warehouse.exclusive(),
        plain_words(warehouse.settings, cohort),
        scratch(warehouse.settings, cohort) as connection,
        new_database(path) as new,
    ):

        def open_old() -> None:
            # For writing, so that a log is merged first and everybody else is kept out.
            attach(connection, path, "old", key=key_before, cohort=cohort, read_only=False)

        wanted = f"the warehouse of cohort {cohort!r}"
        wait_until_free(open_old, wanted=wanted, patience_s=patience_s, error=WarehouseError)
        attach(connection, new, "fresh", key=key_after, cohort=cohort, read_only=False)
        connection.execute("COPY FROM DATABASE old TO fresh")
        connection.execute("CHECKPOINT old")
        connection.execute("DETACH fresh")


def _encrypt_file(warehouse: Warehouse, key: str) -> bool:
    try:
        rewrite(warehouse, key_before=None, key_after=key)
    except encryption.KeyMissing:
        return False
    _log.info("The warehouse of cohort %r is encrypted now.", warehouse.cohort)
    return True


def _encrypt_snapshot(snapshot: Snapshot, key: str, settings: Settings) -> bool:
    """Write a plain snapshot again with the key, after checking it; True when there was something to do."""
    if not snapshot.path.exists():
        raise damaged(snapshot, "its file is missing")
    encrypted = encryption.is_encrypted_parquet(snapshot.path)
    unchanged = file_sha256(snapshot.path) == snapshot.file_sha256
    if encrypted and snapshot.encrypted:
        return False
    # An encrypted file with the manifest of a plain one is what an interruption left: its content decides.
    if not encrypted and not unchanged:
        raise damaged(snapshot, "its bytes have changed")
    remove_leftovers(snapshot.path.parent)
    with scratch(settings, snapshot.cohort) as connection:
        relation = encryption.read_parquet(snapshot.path, key if encrypted else None)
        if table_digest(connection, relation) != snapshot.digest:
            raise damaged(snapshot, "its content has another digest")
        if not encrypted:
            write_parquet(connection, relation, snapshot.path, key)
    write_manifest(snapshot.path, rows=snapshot.rows, columns=snapshot.columns, replaces=snapshot.replaces)
    return True
