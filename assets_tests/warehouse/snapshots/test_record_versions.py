"""The version of validated records follows from their origin, and from their content where the origin does not tell."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from clinical_assets.cohorts.spec import CohortSpec
from clinical_assets.foundation.settings import Settings
from clinical_assets.warehouse.intake.ingestion import ingest
from clinical_assets.warehouse.snapshots.record_versions import content_digest, origin_digest
from clinical_assets.warehouse.snapshots.snapshots import restore_snapshot
from clinical_assets.warehouse.store.warehouse import Warehouse
from clinical_assets.warehouse.validation import erased_subjects, validation

RECORDS = [f"p{n},{20 + n % 60},{'fm'[n % 2]},{'yes' if n % 5 == 0 else 'no'}" for n in range(20)]


def version(described: dict[str, Any], settings: Settings, folder: Path, records: list[str]) -> str | None:
    """Version of these records, read and validated anew."""
    (folder / "small_cohort.csv").write_text("\n".join(["patient_id,age_years,sex,died", *records]) + "\n")
    spec = CohortSpec.model_validate(described)
    ingest(spec, settings=settings, folder=folder)
    return validated(described, settings)


def validated(described: dict[str, Any], settings: Settings) -> str | None:
    spec = CohortSpec.model_validate(described)
    return validation.validate_cohort(spec, Warehouse(spec.name, settings)).digest


def by_content(described: dict[str, Any], settings: Settings) -> str:
    spec = CohortSpec.model_validate(described)
    with Warehouse(spec.name, settings).reader() as connection:
        return content_digest(spec, connection)


def test_equal_records_have_one_version_whatever_their_order_and_machine(
    minimal: dict[str, Any], settings: Settings, tmp_path: Path
) -> None:
    here = version(minimal, settings, tmp_path, RECORDS)
    assert here == validated(minimal, settings) != by_content(minimal, settings)
    there = replace(settings, data=tmp_path / "another machine")
    assert version(minimal, there, tmp_path, RECORDS[::-1]) == here


def test_another_value_rule_or_code_is_another_version(
    minimal: dict[str, Any], settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    versions = [version(minimal, settings, tmp_path, RECORDS)]
    versions.append(version(minimal, settings, tmp_path, [*RECORDS, RECORDS[0].replace("p0", "p99")]))
    versions.append(version(minimal, settings, tmp_path, ["p0,21,f,yes", *RECORDS[1:]]))
    age = minimal["tables"]["subjects"]["columns"]["age_years"]
    age["missing"] = [21]
    versions.append(validated(minimal, settings))
    monkeypatch.setattr(validation, "_code", lambda: "other")
    versions.append(validated(minimal, settings))
    assert len(set(versions)) == len(versions)


def test_a_restored_snapshot_brings_its_version_back(
    minimal: dict[str, Any], settings: Settings, tmp_path: Path
) -> None:
    first = version(minimal, settings, tmp_path, RECORDS)
    digest = ingest(CohortSpec.model_validate(minimal), settings=settings, folder=tmp_path).tables["subjects"].digest
    assert version(minimal, settings, tmp_path, RECORDS[1:]) != first
    restore_snapshot(Warehouse("small_cohort", settings), "subjects", digest)
    assert validated(minimal, settings) == first


def test_raw_records_that_nobody_noted_are_named_by_content(
    minimal: dict[str, Any], settings: Settings, tmp_path: Path
) -> None:
    version(minimal, settings, tmp_path, RECORDS)
    with Warehouse("small_cohort", settings).writer() as connection:
        connection.execute("DELETE FROM raw.subjects WHERE _row = 1")
    assert validated(minimal, settings) == by_content(minimal, settings)


def test_where_subjects_were_erased_the_content_counts(
    minimal: dict[str, Any], settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    version(minimal, settings, tmp_path, RECORDS)
    monkeypatch.setattr(erased_subjects, "any_erased", lambda *_: True)
    monkeypatch.setattr(erased_subjects, "sweep", lambda *_, **__: 0)
    assert validated(minimal, settings) == by_content(minimal, settings)


def test_years_of_two_digits_without_limits_are_read_by_the_clock_and_have_no_origin(
    minimal: dict[str, Any], settings: Settings, tmp_path: Path
) -> None:
    version(minimal, settings, tmp_path, RECORDS)
    minimal["tables"]["subjects"]["columns"]["seen_date"] = {
        "type": "date",
        "format": "%d.%m.%y",
        "description": "Day.",
    }
    spec = CohortSpec.model_validate(minimal)
    with Warehouse("small_cohort", settings).reader() as connection:
        assert origin_digest(spec, connection, code="") is None
