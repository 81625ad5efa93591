"""With a key nothing on disk can be read without it; with the wrong one, or none, the cure is named."""

from __future__ import annotations

import importlib.util
from dataclasses import replace
from pathlib import Path

import duckdb
import pytest

from assets_tests.worlds.machine.processes import child
from clinical_assets.foundation.errors import WarehouseError
from clinical_assets.foundation.settings import KEY, KEY_FILE, Settings
from clinical_assets.warehouse.snapshots import migration
from clinical_assets.warehouse.snapshots.migration import Encrypted, encrypt_cohort
from clinical_assets.warehouse.snapshots.snapshot_files import write_manifest
from clinical_assets.warehouse.snapshots.snapshots import (
    list_snapshots,
    restore_snapshot,
    verify_snapshot,
    write_snapshot,
)
from clinical_assets.warehouse.store import encryption
from clinical_assets.warehouse.store.warehouse import Warehouse

MARKER = "PATIENT-4711"


@pytest.fixture
def locked(settings: Settings) -> Settings:
    """Settings with a key."""
    return replace(settings, master_key=b"a master key for tests only")


def fill(settings: Settings, cohort: str = "heart") -> Warehouse:
    """A warehouse and a snapshot that hold the marker many times."""
    warehouse = Warehouse(cohort, settings)
    with warehouse.writer() as connection:
        connection.execute(
            f"CREATE TABLE raw.subjects AS SELECT range + 1 AS _row, '{MARKER}' AS patient_id, "
            f"'{MARKER}-' || range AS note FROM range(3000)"
        )
        write_snapshot(connection, "raw.subjects", cohort=cohort, table="subjects", settings=settings)
    return warehouse


def files_with_marker(settings: Settings) -> set[str]:
    return {
        path.suffix
        for path in settings.data.rglob("*")
        if path.is_file() and any(word in path.read_bytes() for word in (MARKER.encode(), b"patient_id"))
    }


def count(warehouse: Warehouse) -> int:
    return int(warehouse.query(f"SELECT count(*) FROM raw.subjects WHERE patient_id = '{MARKER}'").item())


def test_without_a_key_the_marker_lies_open_and_with_one_it_lies_nowhere(settings: Settings, locked: Settings) -> None:
    locked = replace(locked, data=settings.data / "locked")
    fill(settings)
    assert files_with_marker(settings) == {".duckdb", ".parquet"}
    warehouse = fill(locked)
    assert files_with_marker(locked) == set()
    assert count(warehouse) == 3000


def test_the_log_of_a_killed_writer_is_encrypted_and_still_read(
    locked: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert locked.master_key is not None
    monkeypatch.setenv(KEY, locked.master_key.decode())
    script = f"""
with Warehouse("heart", settings).writer() as connection:
    connection.execute("CREATE TABLE raw.subjects AS SELECT '{MARKER}' AS patient_id FROM range(3000)")
    connection.execute("COMMIT")
    reached_and_wait("committed")
"""
    with child(script) as other:
        other.wait_for("committed")
        other.kill()
    assert [path.name for path in locked.warehouse.glob("*.wal")] == ["heart.duckdb.wal"]
    assert files_with_marker(locked) == set()
    assert count(Warehouse("heart", locked)) == 3000


def test_no_key_and_the_wrong_key_are_told_apart(settings: Settings, locked: Settings) -> None:
    fill(locked)
    for opening in (Warehouse("heart", settings).reader, Warehouse("heart", settings).writer):
        with pytest.raises(WarehouseError, match=r"heart\.duckdb is encrypted, and no key") as caught, opening():
            pass
        assert KEY_FILE in (caught.value.cure or "")
    other = replace(locked, master_key=b"quite another master key")
    for opening in (Warehouse("heart", other).reader, Warehouse("heart", other).writer):
        with pytest.raises(WarehouseError, match="cannot be opened with the configured key"), opening():
            pass
    assert count(Warehouse("heart", locked)) == 3000


def test_a_wrong_key_is_refused_while_this_process_reads_with_the_right_one(locked: Settings) -> None:
    warehouse = fill(locked)
    other = Warehouse("heart", replace(locked, master_key=b"quite another master key"))
    with (
        warehouse.reader(),
        pytest.raises(WarehouseError, match="cannot be opened with the configured key"),
        other.reader(),
    ):
        pass


def test_duckdb_itself_refuses_the_file_without_the_key(locked: Settings) -> None:
    warehouse = fill(locked)
    (snapshot,) = list_snapshots("heart", settings=locked)
    with pytest.raises(duckdb.Error, match="encrypted"):
        duckdb.connect(str(warehouse.path))
    with pytest.raises(duckdb.Error, match="encrypted"):
        duckdb.sql(f"SELECT * FROM '{snapshot.path}'").fetchall()


def test_each_cohort_has_its_own_key_which_stays_the_same(locked: Settings, settings: Settings) -> None:
    heart, stroke = encryption.cohort_key("heart", locked), encryption.cohort_key("stroke", locked)
    assert heart != stroke
    assert heart == encryption.cohort_key("heart", locked)
    assert encryption.cohort_key("heart", settings) is None
    # RFC 5869 with SHA-256, 32 bytes, no salt, computed from its definition.
    import base64
    import hashlib
    import hmac

    assert locked.master_key is not None
    pseudo_random = hmac.digest(bytes(32), locked.master_key, hashlib.sha256)
    assert heart == base64.b64encode(hmac.digest(pseudo_random, b"heart\x01", hashlib.sha256)).decode()


def test_a_file_of_one_cohort_does_not_open_as_another(locked: Settings) -> None:
    warehouse = fill(locked)
    warehouse.path.rename(locked.warehouse / "stroke.duckdb")
    with pytest.raises(WarehouseError, match="for another cohort"):
        Warehouse("stroke", locked).query("SELECT 1")


def test_plain_files_under_a_key_are_refused_until_they_are_encrypted(settings: Settings, locked: Settings) -> None:
    fill(settings)
    for opening in (Warehouse("heart", locked).reader, Warehouse("heart", locked).writer):
        with pytest.raises(WarehouseError, match="not encrypted, although a key") as caught, opening():
            pass
        assert "warehouse encrypt heart" in (caught.value.cure or "")
    (snapshot,) = list_snapshots("heart", settings=locked)
    with pytest.raises(WarehouseError, match="not encrypted, although a key"):
        verify_snapshot(snapshot, settings=locked)

    assert encrypt_cohort("heart", locked) == Encrypted(warehouse=True, snapshots=1)

    assert files_with_marker(settings) == set()
    assert count(Warehouse("heart", locked)) == 3000
    (snapshot,) = list_snapshots("heart", settings=locked)
    verify_snapshot(snapshot, settings=locked)
    assert restore_snapshot(Warehouse("heart", locked), "subjects", snapshot.digest) == 3000
    assert encrypt_cohort("heart", locked) == Encrypted(warehouse=False, snapshots=0)
    with pytest.raises(WarehouseError, match="is encrypted, and no key"):
        verify_snapshot(snapshot, settings=settings)
    with pytest.raises(WarehouseError, match="cannot be opened with the configured key"):
        verify_snapshot(snapshot, settings=replace(locked, master_key=b"quite another master key"))


def test_encrypting_goes_on_where_it_was_interrupted(
    settings: Settings, locked: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(settings)

    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(migration, "write_manifest", interrupted)
    with pytest.raises(KeyboardInterrupt):
        encrypt_cohort("heart", locked)
    assert files_with_marker(settings) == set()
    monkeypatch.setattr(migration, "write_manifest", write_manifest)
    assert encrypt_cohort("heart", locked) == Encrypted(warehouse=False, snapshots=1)
    (snapshot,) = list_snapshots("heart", settings=locked)
    verify_snapshot(snapshot, settings=locked)


def test_a_damaged_plain_snapshot_is_not_encrypted_as_if_it_were_right(settings: Settings, locked: Settings) -> None:
    fill(settings)
    (snapshot,) = list_snapshots("heart", settings=settings)
    content = bytearray(snapshot.path.read_bytes())
    content[len(content) // 2] ^= 1
    snapshot.path.write_bytes(content)
    with pytest.raises(WarehouseError, match="its bytes have changed"):
        encrypt_cohort("heart", locked)


def test_encrypting_without_a_key_names_the_cure(settings: Settings) -> None:
    fill(settings)
    with pytest.raises(WarehouseError, match="no key is configured") as caught:
        encrypt_cohort("heart", settings)
    assert KEY_FILE in (caught.value.cure or "")


def test_a_plain_snapshot_is_written_again_encrypted_when_its_content_comes_again(
    settings: Settings, locked: Settings
) -> None:
    fill(settings)
    (plain,) = list_snapshots("heart", settings=settings)
    Warehouse("heart", settings).path.unlink()
    fill(locked)
    (snapshot,) = list_snapshots("heart", settings=locked)
    assert (plain.digest, plain.encrypted, snapshot.digest, snapshot.encrypted) == (
        snapshot.digest,
        False,
        plain.digest,
        True,
    )
    assert files_with_marker(settings) == set()


def test_a_missing_extension_is_named_with_the_version_to_install(
    locked: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert encryption.extension_path().is_file()
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(WarehouseError, match="httpfs") as caught, Warehouse("heart", locked).writer():
        pass
    assert f"duckdb-extension-httpfs=={duckdb.__version__}" in (caught.value.cure or "")


def test_the_extension_of_the_cryptography_opens_no_network(locked: Settings, tmp_path: Path) -> None:
    source = tmp_path / "local.csv"
    source.write_text("a\n1\n")
    with Warehouse("heart", locked).writer() as connection:
        for address in ("http://127.0.0.1:9/a.csv", "s3://bucket/a.csv", "hf://datasets/a/b.csv"):
            with pytest.raises(duckdb.PermissionException, match="disabled by configuration"):
                connection.execute(f"SELECT * FROM read_csv('{address}')")
        assert connection.execute(f"SELECT a FROM read_csv('{source}')").fetchall() == [(1,)]


def test_no_error_and_no_catalogue_shows_the_key(locked: Settings) -> None:
    warehouse = fill(locked)
    key = encryption.cohort_key("heart", locked)
    assert key is not None
    with warehouse.writer() as connection:
        shown = [
            str(connection.execute(f"FROM {view}").fetchall())
            for view in ("duckdb_databases()", "duckdb_settings()", "duckdb_secrets()", "duckdb_logs")
        ]
    with pytest.raises(WarehouseError) as caught:
        Warehouse("heart", replace(locked, master_key=b"quite another master key")).query("SELECT 1")
    assert all(key not in text for text in [*shown, str(caught.value)])
