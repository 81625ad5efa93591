"""From plain files to encrypted ones, once, after a key was configured.

What belongs here: encrypting what exists. New files are encrypted by whoever writes them. The plain bytes are deleted,
not overwritten: on a disk that could be read by others, wipe its free space afterwards.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass

from clinical_assets.errors import WarehouseError
from clinical_assets.settings import KEY_FILE, Settings
from clinical_assets.warehouse import encryption, locks
from clinical_assets.warehouse.connections import attach, plain_words, scratch
from clinical_assets.warehouse.database_files import log_of, remove_database
from clinical_assets.warehouse.digests import table_digest
from clinical_assets.warehouse.snapshot_files import (
    Snapshot,
    bytes_sha256,
    list_snapshots,
    remove_leftovers,
    write_manifest,
    write_parquet,
)
from clinical_assets.warehouse.snapshots import damaged
from clinical_assets.warehouse.store import Warehouse
from clinical_assets.whole_files import flush

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


def _encrypt_file(warehouse: Warehouse, key: str) -> bool:
    path, cohort = warehouse.path, warehouse.cohort
    new = path.with_name(f".{path.name}.new")
    remove_database(new)
    with scratch(warehouse.settings, cohort) as connection:

        def open_plain() -> bool:
            try:
                # Opened for writing, so that a log is merged first and everybody else is kept out.
                attach(connection, path, "plain", key=None, cohort=cohort, read_only=False)
            except encryption.KeyMissing:
                return False
            return True

        wanted = f"the warehouse of cohort {cohort!r}"
        if not locks.wait_until_free(open_plain, wanted=wanted, patience_s=warehouse.settings.lock_patience_s):
            return False
        try:
            attach(connection, new, "encrypted", key=key, cohort=cohort, read_only=False)
            connection.execute("COPY FROM DATABASE plain TO encrypted")
            connection.execute("CHECKPOINT plain")
            connection.execute("DETACH encrypted")
            flush(new)
            new.replace(path)
            log_of(path).unlink(missing_ok=True)
        finally:
            remove_database(new)
        flush(path.parent)
    _log.info("The warehouse of cohort %r is encrypted now.", cohort)
    return True


def _encrypt_snapshot(snapshot: Snapshot, key: str, settings: Settings) -> bool:
    """Write a plain snapshot again with the key, after checking it; True when there was something to do."""
    if not snapshot.path.exists():
        raise damaged(snapshot, "its file is missing")
    encrypted = encryption.is_encrypted_parquet(snapshot.path)
    unchanged = bytes_sha256(snapshot.path) == snapshot.file_sha256
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
