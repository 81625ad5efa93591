"""All tables of a cohort are read and kept, or none is."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from assets_tests.worlds.machine.processes import child, on_warning
from clinical_assets.cohorts.spec import CohortSpec
from clinical_assets.foundation import locks
from clinical_assets.foundation.errors import SourceError, WarehouseError
from clinical_assets.foundation.settings import Settings
from clinical_assets.warehouse.intake.ingestion import IngestReport, ingest
from clinical_assets.warehouse.snapshots.snapshots import list_snapshots, restore_snapshot, verify_snapshot
from clinical_assets.warehouse.store.warehouse import Warehouse

SUBJECTS = [f"p{n},{20 + n % 60},{'fm'[n % 2]},{'yes' if n % 5 == 0 else 'no'}" for n in range(200)]
VISITS = [f"p{n % 200},{n}" for n in range(500)]


@pytest.fixture
def settings(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Bounded settings of the test's own."""
    monkeypatch.setenv("CLINICAL_ASSETS_THREADS", "2")
    monkeypatch.setenv("CLINICAL_ASSETS_MEMORY", "1GB")
    return Settings.from_environment()


@pytest.fixture
def spec(minimal: dict[str, Any]) -> CohortSpec:
    """A cohort with subjects and visits in two files."""
    minimal["tables"]["visits"] = {
        "description": "One row per visit.",
        "source": {"kind": "file", "path": "visits.csv"},
        "key": ["visit"],
        "columns": {
            "patient_id": {"type": "string", "role": "identifier", "description": "Patient."},
            "visit": {"type": "integer", "description": "Number of the visit."},
        },
    }
    return CohortSpec.model_validate(minimal)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The cohort's files beside its description."""
    write(tmp_path, SUBJECTS, VISITS)
    return tmp_path


def write(folder: Path, subjects: list[str], visits: list[str]) -> None:
    (folder / "small_cohort.csv").write_text("\n".join(["patient_id,age_years,sex,died", *subjects]) + "\n")
    (folder / "visits.csv").write_text("\n".join(["patient_id,visit", *visits]) + "\n")


def raw(settings: Settings) -> dict[str, int]:
    return {t.name: t.rows for t in Warehouse("small_cohort", settings).tables() if t.schema == "raw"}


def test_every_table_is_read_kept_and_reported(spec: CohortSpec, settings: Settings, folder: Path) -> None:
    told: list[str] = []
    report = ingest(spec, settings=settings, folder=folder, progress=told.append)
    subjects, visits = report.tables["subjects"], report.tables["visits"]
    assert (subjects.rows, subjects.rejects, visits.rows, visits.rejects) == (200, 0, 500, 0)
    assert subjects.columns == ("patient_id", "age_years", "sex", "died")
    assert [(f.name, f.bytes) for f in visits.files] == [("visits.csv", (folder / "visits.csv").stat().st_size)]
    assert subjects.snapshot.digest == subjects.digest
    for snapshot in list_snapshots("small_cohort", settings=settings):
        verify_snapshot(snapshot, settings=settings)
    warehouse = Warehouse("small_cohort", settings)
    first = warehouse.query("SELECT * FROM raw.subjects ORDER BY _row LIMIT 1")
    assert first.rows() == [(1, "p0", "20", "f", "yes")]
    assert raw(settings) == {"_rejects": 0, "subjects": 200, "visits": 500}
    assert any("subjects" in text and "reading" in text for text in told)
    assert any("500 records" in text for text in told)
    assert not any(str(folder) in text for text in told)


def test_what_was_read_when_is_noted_without_paths(spec: CohortSpec, settings: Settings, folder: Path) -> None:
    report = ingest(spec, settings=settings, folder=folder)
    ingest(spec, settings=settings, folder=folder)
    noted = Warehouse("small_cohort", settings).query(
        "SELECT table_name, rows, rejects, digest, rejects_digest, files, ingested_at FROM meta.ingestions "
        "ORDER BY ingested_at"
    )
    assert noted.height == 4
    assert noted.row(0)[:5] == ("subjects", 200, 0, report.tables["subjects"].digest, None)
    (file,) = json.loads(noted.row(0)[5])
    source = report.tables["subjects"].files[0]
    assert file == {"name": "small_cohort.csv", "bytes": source.bytes, "sha256": source.sha256}
    assert str(folder) not in str(noted.rows())


def test_the_order_of_records_changes_neither_digest_nor_snapshot(
    spec: CohortSpec, settings: Settings, folder: Path
) -> None:
    first = ingest(spec, settings=settings, folder=folder)
    shuffled = random.Random(1).sample(SUBJECTS, k=len(SUBJECTS))
    write(folder, shuffled, VISITS)
    second = ingest(spec, settings=settings, folder=folder)
    assert second.digest == first.digest
    assert second.tables["subjects"].snapshot == first.tables["subjects"].snapshot
    assert second.tables["subjects"].files != first.tables["subjects"].files
    write(folder, [*SUBJECTS[:-1], SUBJECTS[0]], VISITS)
    assert ingest(spec, settings=settings, folder=folder).digest != first.digest
    assert len(list_snapshots("small_cohort", "subjects", settings=settings)) == 2


def test_one_failing_source_leaves_every_table_as_it_was(spec: CohortSpec, settings: Settings, folder: Path) -> None:
    ingest(spec, settings=settings, folder=folder)
    write(folder, SUBJECTS[:50], VISITS)
    (folder / "visits.csv").unlink()
    with pytest.raises(SourceError, match="visits"):
        ingest(spec, settings=settings, folder=folder)
    assert raw(settings) == {"_rejects": 0, "subjects": 200, "visits": 500}
    noted = Warehouse("small_cohort", settings).query("SELECT count(*) FROM meta.ingestions").item()
    assert noted == 2


def test_a_first_ingestion_that_fails_leaves_no_table(spec: CohortSpec, settings: Settings, folder: Path) -> None:
    (folder / "visits.csv").unlink()
    with pytest.raises(SourceError):
        ingest(spec, settings=settings, folder=folder)
    assert raw(settings) == {}


def test_lines_that_cannot_be_read_are_kept_with_their_place(
    spec: CohortSpec, settings: Settings, folder: Path
) -> None:
    clean = ingest(spec, settings=settings, folder=folder)
    write(folder, [*SUBJECTS[:3], "p999,1,f,no,too,many", *SUBJECTS[3:]], VISITS)
    report = ingest(spec, settings=settings, folder=folder)
    assert (report.tables["subjects"].rows, report.tables["subjects"].rejects) == (200, 1)
    rejected = "SELECT table_name, line, text FROM raw._rejects"
    warehouse = Warehouse("small_cohort", settings)
    ((table, line, text),) = warehouse.query(rejected).rows()
    assert (table, line) == ("subjects", 5)
    assert "p999" in text
    # The readable content is the same; the cohort's digest is not, because another share of it is unreadable.
    assert report.tables["subjects"].digest == clean.tables["subjects"].digest
    assert report.digest != clean.digest


def test_restoring_brings_the_unreadable_lines_of_that_time_back(
    spec: CohortSpec, settings: Settings, folder: Path
) -> None:
    write(folder, [*SUBJECTS[:100], "p999,1,f,no,too,many"], VISITS)
    report = ingest(spec, settings=settings, folder=folder)
    warehouse = Warehouse("small_cohort", settings)
    rejected = "SELECT table_name, line, reason, text FROM raw._rejects"
    before = warehouse.query(rejected)
    write(folder, SUBJECTS, VISITS)
    ingest(spec, settings=settings, folder=folder)
    assert warehouse.query(rejected).is_empty()
    assert restore_snapshot(warehouse, "subjects", report.tables["subjects"].digest) == 100
    assert before.height == 1
    assert warehouse.query(rejected).equals(before)


def test_tables_that_left_the_description_are_dropped(spec: CohortSpec, settings: Settings, folder: Path) -> None:
    ingest(spec, settings=settings, folder=folder)
    fewer = spec.model_copy(update={"tables": {"subjects": spec.tables["subjects"]}})
    ingest(fewer, settings=settings, folder=folder)
    assert raw(settings) == {"_rejects": 0, "subjects": 200}


def test_nothing_is_written_outside_the_data_folder(spec: CohortSpec, settings: Settings, folder: Path) -> None:
    ingest(spec, settings=settings, folder=folder)
    outside = {path.name for path in folder.iterdir()} - {settings.data.name}
    assert outside == {"small_cohort.csv", "visits.csv"}
    assert [path for path in settings.data.rglob("*") if path.name.endswith((".new", ".tmp"))] == []


@pytest.mark.parametrize("key", [None, "a master key for tests only"])
def test_an_encrypted_cohort_has_the_same_digest_as_a_plain_one(
    spec: CohortSpec, settings: Settings, folder: Path, key: str | None
) -> None:
    plain = ingest(spec, settings=replace(settings, data=settings.data / "other"), folder=folder)
    report = ingest(
        spec, settings=replace(settings, master_key=key.encode() if key else None, threads=1), folder=folder
    )
    assert isinstance(report, IngestReport)
    assert report.digest == plain.digest
    assert report.tables["subjects"].snapshot.encrypted == (key is not None)


INGEST = """
from clinical_assets.cohorts.spec import CohortSpec
from clinical_assets.warehouse.intake import ingestion
spec = CohortSpec.model_validate_json({spec!r})
def progress(text):
    if {when!r} in text:
        reached_and_wait("there")
ingestion.ingest(spec, settings=settings, folder=Path({folder!r}), progress=progress)
"""


def test_a_second_run_of_the_cohort_queues(
    spec: CohortSpec, settings: Settings, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = INGEST.format(spec=spec.model_dump_json(by_alias=True), folder=str(folder), when="table 'visits': 500")
    with child(script) as other:
        other.wait_for("there")
        with pytest.raises(WarehouseError, match=f"cohort 'small_cohort'; process {other.pid} still holds it"):
            ingest(spec, settings=replace(settings, lock_patience_s=0), folder=folder)
        write(folder, SUBJECTS[:150], VISITS)
        monkeypatch.setattr(locks, "_TOLD_AFTER_S", 0.0)
        on_warning(monkeypatch, other.go_on)
        assert ingest(spec, settings=settings, folder=folder).tables["subjects"].rows == 150
        other.finish()
    rows = Warehouse("small_cohort", settings).query(
        "SELECT rows FROM meta.ingestions WHERE table_name = 'subjects' ORDER BY ingested_at"
    )
    assert rows["rows"].to_list() == [200, 150]
    assert raw(settings)["subjects"] == 150


@pytest.mark.parametrize("when", ["table 'visits' (2 of 2): reading", "table 'visits': 500"])
def test_a_run_killed_between_tables_leaves_every_table_as_it_was(
    spec: CohortSpec, settings: Settings, folder: Path, when: str
) -> None:
    write(folder, SUBJECTS[:50], VISITS[:50])
    ingest(spec, settings=settings, folder=folder)
    write(folder, SUBJECTS, VISITS)
    script = INGEST.format(spec=spec.model_dump_json(by_alias=True), folder=str(folder), when=when)
    with child(script) as other:
        other.wait_for("there")
        other.kill()
    assert raw(settings) == {"_rejects": 0, "subjects": 50, "visits": 50}
    ingest(spec, settings=settings, folder=folder)
    assert raw(settings) == {"_rejects": 0, "subjects": 200, "visits": 500}
