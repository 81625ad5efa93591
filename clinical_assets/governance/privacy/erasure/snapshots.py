"""A subject out of the snapshots: each that holds it is written anew under its own digest, and the old file removed.

What belongs here: snapshots. The manifest of the new one names the digest that it takes the place of, and when.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import duckdb

from clinical_assets.foundation.errors import WarehouseError
from clinical_assets.foundation.settings import Settings
from clinical_assets.governance.privacy.erasure.target import ErasureTarget
from clinical_assets.warehouse.snapshots.digests import table_digest
from clinical_assets.warehouse.snapshots.snapshot_files import (
    ReplacedSnapshot,
    Snapshot,
    list_snapshots,
    read_manifest,
    remove_leftovers,
    snapshot_path,
    write_manifest,
    write_parquet,
)
from clinical_assets.warehouse.snapshots.snapshots import key_for
from clinical_assets.warehouse.store import encryption
from clinical_assets.warehouse.store.connections import scratch
from clinical_assets.warehouse.store.sql_text import quoted


@dataclass(frozen=True)
class Redaction:
    """One snapshot that was written anew.

    Attributes
    ----------
    table : str
        Its table; unreadable lines are those of ``<table>.rejects``.
    old, new : str
        Digests before and after.
    rows : int
        Rows that went.
    ancestors : tuple of str
        Digests that the old one had taken the place of earlier.
    """

    table: str
    old: str
    new: str
    rows: int
    ancestors: tuple[str, ...] = ()


def redact_snapshots(
    target: ErasureTarget, *, settings: Settings, at: str, before: Callable[[Redaction], object]
) -> tuple[Redaction, ...]:
    """Take a subject out of every snapshot of its cohort; those that do not hold it stay as they are.

    Parameters
    ----------
    target : ErasureTarget
        The subject, with the SQL that finds its rows.
    settings : Settings
        Where the data, keys and reports of this installation lie.
    at : str
        Time of the erasure, for the manifests.
    before : callable
        Is told of each redaction before the old file is removed.

    Raises
    ------
    WarehouseError
        When a snapshot cannot be read; it may hold the subject, so nobody can say that the erasure is complete.
    """
    done = []
    with scratch(settings, target.spec.name) as connection:
        target.prepare(connection)
        kept = list_snapshots(target.spec.name, settings=settings)
        replaced = {each.digest for snapshot in kept for each in snapshot.replaces}
        for snapshot in kept:
            if not snapshot.path.exists() and snapshot.digest in replaced:
                # What an interruption left of an earlier erasure.
                snapshot.path.with_suffix(".json").unlink(missing_ok=True)
            if snapshot.path.exists():
                redaction = _redact(connection, target, snapshot, settings=settings, at=at, before=before)
                done += [redaction] if redaction is not None else []
    return tuple(done)


def _redact(
    connection: duckdb.DuckDBPyConnection,
    target: ErasureTarget,
    snapshot: Snapshot,
    *,
    settings: Settings,
    at: str,
    before: Callable[[Redaction], object],
) -> Redaction | None:
    key = key_for(snapshot, settings)
    relation = encryption.read_parquet(snapshot.path, key)
    try:
        shape = connection.sql(f"SELECT * FROM {relation} LIMIT 0")
        columns = dict(zip(shape.columns, map(str, shape.types), strict=True))
        rejects = snapshot.table.endswith(".rejects")
        mine = target.rows("raw", "_rejects" if rejects else snapshot.table, columns) or "false"
        masks = target.masks(columns)
        named = " OR ".join(condition for condition, _ in masks.values())
        row = connection.execute(
            f"SELECT count(*) FILTER (WHERE {mine}), count(*) FILTER (WHERE {named or 'false'}) FROM {relation}"
        ).fetchone()
    except (duckdb.InvalidInputException, duckdb.IOException) as error:
        raise WarehouseError(
            f"{snapshot} cannot be read, so it may still hold the subject.",
            cure="Restore it from a backup, or delete its Parquet file and manifest; then repeat the command.",
        ) from error
    assert row is not None  # an aggregate yields one row
    if not any(row):
        return None
    values = ", ".join(f"{value} AS {quoted(name)}" for name, (_, value) in masks.items())
    replaced = f"REPLACE ({values})" if values else ""
    content = f"(SELECT * {replaced} FROM {relation} WHERE NOT ({mine}))"
    digest = table_digest(connection, content)
    path = snapshot_path(snapshot.cohort, snapshot.table, digest, settings)
    remove_leftovers(path.parent)
    earlier = read_manifest(path)
    if path != snapshot.path:
        rows = write_parquet(connection, content, path, key)
        replaces = {each.digest: each for each in (*snapshot.replaces, *(earlier.replaces if earlier else ()))}
        replaces[snapshot.digest] = ReplacedSnapshot(digest=snapshot.digest, at=at)
        write_manifest(path, rows=rows, columns=snapshot.columns, replaces=tuple(replaces.values()))
    ancestors = tuple(each.digest for each in snapshot.replaces)
    redaction = Redaction(snapshot.table, snapshot.digest, digest, int(row[0]), ancestors)
    before(redaction)
    if path != snapshot.path:
        # The manifest last: as long as it is there, a repeated command looks at the file.
        snapshot.path.unlink(missing_ok=True)
        snapshot.path.with_suffix(".json").unlink(missing_ok=True)
    return redaction
