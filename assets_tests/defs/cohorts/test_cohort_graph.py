"""Whole cohorts go through the real job on a real instance, and what Dagster keeps of them can be trusted."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.definitions.data_version import CachingStaleStatusResolver, StaleStatus
from dagster._core.event_api import PartitionKeyFilter
from dagster._core.loader import LoadingContextForTest

from assets_tests.worlds.machine.graphs import COHORT, data_versions, files_that_hold, metadata_of, run_check, run_job
from assets_tests.worlds.team.cohorts import MARK, SUBJECTS, Team
from clinical_assets.definitions import load
from clinical_assets.defs.cohorts import assets as cohorts
from clinical_assets.defs.features import assets as features
from clinical_assets.defs.resources import Platform
from clinical_assets.defs.shared.asset_metadata import preview
from clinical_assets.foundation.settings import PREVIEWS

ASSETS = ("raw_records", "validated_records", "quarantined_records", "features", "cohort_overview")


@dataclass(frozen=True)
class Graph:
    """One cohort that went through the job once, and where everything of it lies."""

    folder: Path
    instance: dg.DagsterInstance
    platform: Platform
    result: dg.ExecuteInProcessResult

    @property
    def warehouse_file(self) -> Path:
        return self.platform.cohort(COHORT).warehouse.path


@pytest.fixture(scope="module")
def quiet_environment() -> Iterator[None]:
    """No key and no catalogue from outside."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("CATALOGUE", "KEY", "KEY_FILE"):
            patch.delenv(f"CLINICAL_ASSETS_{name}", raising=False)
        yield


def _graph(folder: Path, platform: Platform) -> Iterator[Graph]:
    with dg.instance_for_test(temp_dir=str(folder / "dagster")) as instance:
        yield Graph(folder, instance, platform, run_job(instance, platform))


@pytest.fixture(scope="module")
def patients(tmp_path_factory: pytest.TempPathFactory, quiet_environment: None) -> Iterator[Graph]:
    """Real patients: the shipped cohort."""
    folder = tmp_path_factory.mktemp("patients")
    (folder / "dagster").mkdir()
    yield from _graph(folder, Platform(data=str(folder / "data")))


@pytest.fixture(scope="module")
def ward(tmp_path_factory: pytest.TempPathFactory, quiet_environment: None) -> Iterator[Graph]:
    """A team's cohort of two tables under the name of the shipped one, with one visit of nobody."""
    folder = tmp_path_factory.mktemp("ward")
    (folder / "dagster").mkdir()
    team = Team(COHORT)
    team.visits.append({"patient_id": f"{MARK}-9999", "visit_number": 1, "visit_day": 1, "systolic_bp_mmhg": 130})
    (folder / "catalogue").mkdir()
    team.write(folder / "catalogue")
    yield from _graph(folder, Platform(data=str(folder / "data"), catalogue=str(folder / "catalogue")))


def test_every_asset_of_a_real_cohort_tells_rows_schema_lineage_and_shows_what_it_holds(patients: Graph) -> None:
    assert patients.result.success
    told = metadata_of(patients.result)
    assert set(told) == set(ASSETS)
    assert {name: told[name]["dagster/row_count"].value for name in ASSETS} == {
        "raw_records": 920,
        "validated_records": 920,
        "quarantined_records": 0,
        "features": 920,
        "cohort_overview": 1,
    }
    schemas = {
        name: {column.name: column for column in told[name]["dagster/column_schema"].value.columns}
        for name in ("raw_records", "validated_records", "features")
    }
    assert {"id", "trestbps", "num"} <= set(schemas["raw_records"])
    pressure = schemas["validated_records"]["resting_bp_mmhg"]
    assert pressure.type == "DOUBLE"
    assert pressure.constraints.other == ["range 60..260"]
    assert "mm[Hg]" in pressure.description
    assert schemas["features"]["is_male"].type == "DOUBLE"
    below = told["features"]["dagster/column_lineage"].value.deps_by_column["heart_rate_below_expected_bpm"]
    assert {(dep.asset_key.to_user_string(), dep.column_name) for dep in below} == {
        ("validated_records", "age_years"),
        ("validated_records", "max_heart_rate_bpm"),
    }
    (source,) = told["validated_records"]["dagster/column_lineage"].value.deps_by_column["cholesterol_mg_dl"]
    assert (source.asset_key.to_user_string(), source.column_name) == ("raw_records", "chol")
    for name, picture in (
        ("validated_records", "missing values"),
        ("validated_records", "distributions of subjects"),
        ("features", "distributions"),
    ):
        assert told[name][picture].value.startswith(f"![{picture}](data:image/png;base64,iVBOR")
    assert {told[name]["records are"].value for name in ASSETS} == {"real records"}


def test_no_preview_is_made_where_they_are_switched_off(ward: Graph, monkeypatch: pytest.MonkeyPatch) -> None:
    for wanted in ("on", "off"):
        monkeypatch.setenv(PREVIEWS, wanted)
        cohort = ward.platform.cohort(COHORT)
        with cohort.warehouse.reader() as connection:
            made = preview(connection, 'validated."subjects"', cohort=cohort, clear=["age_years"])
        assert bool(made) is (wanted == "on")


def test_previews_show_rows_and_mask_who_they_belong_to(ward: Graph) -> None:
    assert ward.result.success
    told = metadata_of(ward.result)
    raw = [record.data for record in told["raw_records"]['preview of raw."subjects"'].records]
    validated = [record.data for record in told["validated_records"]['preview of validated."subjects"'].records]
    shown = [record.data for record in told["features"]["preview of model.features"].records]
    for records, person in ((raw, "PatID"), (validated, "patient_id"), (shown, "patient_id")):
        assert len(records) == 5
        assert {record[person] for record in records} == {"•••"}
        assert all(40 <= float(record["age_years"]) <= 95 for record in records)
    assert {record["remark"] for record in (*raw, *validated)} == {"•••"}
    # What nobody described is not shown either: nobody said that it is harmless.
    assert {record["insurance"] for record in raw} == {"•••"}
    assert {told[name]["records are"].value for name in ASSETS} == {"SYNTHETIC: made by a generator, not patients"}


def test_no_identifier_is_anywhere_in_dagsters_own_files(ward: Graph) -> None:
    assert files_that_hold(ward.folder / "data", MARK)  # the warehouse, where it belongs
    assert files_that_hold(ward.folder / "dagster", "validated_records")
    assert files_that_hold(ward.folder / "dagster", MARK) == []


def test_a_refused_record_is_counted_and_its_finding_told_with_the_cure(ward: Graph) -> None:
    told = metadata_of(ward.result)
    assert told["quarantined_records"]["dagster/row_count"].value == 1
    (finding,) = [record.data for record in told["quarantined_records"]["findings"].records]
    assert (finding["table_name"], finding["column_name"], finding["rule"]) == ("visits", "patient_id", "reference")
    assert finding["first_record"] == 3 * SUBJECTS + 1
    assert "Add the record to subjects at the source" in finding["cure"]


def test_every_check_is_stored_for_its_partition_alone(patients: Graph) -> None:
    keys = {key for check in load().asset_checks or () for key in check.check_keys}
    for key in keys:
        if key.asset_key.to_user_string() in ASSETS:
            stored = {
                partition: patients.instance.event_log_storage.get_asset_check_execution_history(
                    key, limit=10, partition_filter=PartitionKeyFilter(key=partition)
                )
                for partition in (COHORT, "framingham_chd")
            }
            (record,) = stored[COHORT]
            assert record.run_id == patients.result.run_id
            assert stored["framingham_chd"] == []
    (warned,) = [e for e in patients.result.get_asset_check_evaluations() if not e.passed]
    assert (warned.check_name, warned.severity) == ("values_are_plausible", dg.AssetCheckSeverity.WARN)


CORRUPTED = {
    ("validated_records", "no_record_is_lost"): "DELETE FROM validated.visits WHERE _row = 2",
    ("validated_records", "refused_share_is_small"): (
        "INSERT INTO quarantine.records SELECT 'visits', NULL, '{}' FROM range(60)"
    ),
    ("validated_records", "values_are_plausible"): "UPDATE validated.subjects SET height_m = 2.2 WHERE _row = 1",
    ("features", "outcome_has_every_class"): "UPDATE model.outcomes SET outcome = 0 WHERE outcome = 1",
    ("features", "features_are_truncation_invariant"): ("UPDATE model.features SET age_years = age_years + 1"),
    ("features", "sql_not_null"): "UPDATE validated.subjects SET patient_id = NULL WHERE _row = 1",
    ("features", "sql_unique"): "INSERT INTO validated.subjects FROM validated.subjects WHERE _row = 1",
    ("features", "sql_accepted_values"): (
        "INSERT INTO validated.visits SELECT * REPLACE (9 AS visit_number) FROM validated.visits WHERE visit_day = 1"
    ),
    ("features", "sql_relationships"): (
        "DELETE FROM validated.visits WHERE patient_id = (SELECT patient_id FROM validated.subjects WHERE _row = 1)"
    ),
    ("features", "sql_expression"): "UPDATE validated.subjects SET age_years = 300 WHERE _row = 1",
}


@pytest.mark.parametrize(("asset", "check"), CORRUPTED)
def test_a_check_that_is_run_alone_sees_what_was_changed_by_hand(ward: Graph, asset: str, check: str) -> None:
    key = dg.AssetCheckKey(dg.AssetKey(asset), check)
    assert [e.passed for e in ward.result.get_asset_check_evaluations() if e.asset_check_key == key] == [True]
    before = ward.warehouse_file.read_bytes()
    try:
        with ward.platform.cohort(COHORT).warehouse.writer() as connection:
            (changed,) = connection.execute(CORRUPTED[asset, check]).fetchone() or (0,)
        assert changed
        verdict = run_check(ward.instance, ward.platform, key)
    finally:
        ward.warehouse_file.write_bytes(before)
    assert not verdict.passed
    assert verdict.description
    assert verdict.partition == COHORT
    records = ward.instance.event_log_storage.get_asset_check_execution_history(key, limit=1)
    assert [record.status.value for record in records] == ["FAILED"]


def test_a_line_that_could_not_be_read_counts_among_all_records_and_among_the_refused(ward: Graph) -> None:
    """Of 181 visits one is refused and ten in a hundred may be: 18 unreadable lines more are 19 of 199."""
    key = dg.AssetCheckKey(dg.AssetKey("validated_records"), "refused_share_is_small")
    before = ward.warehouse_file.read_bytes()
    verdicts = []
    try:
        for lines in (18, 3):
            with ward.platform.cohort(COHORT).warehouse.writer() as connection:
                connection.execute(f"INSERT INTO quarantine.records SELECT 'visits', NULL, '{{}}' FROM range({lines})")
            verdicts.append(run_check(ward.instance, ward.platform, key))
    finally:
        ward.warehouse_file.write_bytes(before)
    assert [verdict.passed for verdict in verdicts] == [True, False]
    assert verdicts[1].description == "table visits: 10.9% refused, 10.0% allowed"


def test_a_damaged_snapshot_fails_its_check_with_the_cure(ward: Graph) -> None:
    (snapshot,) = (ward.folder / "data" / "snapshots" / COHORT / "visits").glob("*.parquet")
    before = snapshot.read_bytes()
    key = dg.AssetCheckKey(dg.AssetKey("raw_records"), "snapshot_is_restorable")
    manifest = snapshot.with_suffix(".json")
    told = manifest.read_bytes()
    try:
        snapshot.write_bytes(before[:-100] + bytes(100))
        damaged = run_check(ward.instance, ward.platform, key)
        manifest.unlink()
        missing = run_check(ward.instance, ward.platform, key)
    finally:
        snapshot.write_bytes(before)
        manifest.write_bytes(told)
    assert not damaged.passed
    assert "its bytes have changed" in (damaged.description or "")
    assert "Cure: Restore the file from a backup" in (damaged.description or "")
    assert missing.description == "There is no snapshot of table 'visits'."
    assert run_check(ward.instance, ward.platform, key).passed


def _statuses(graph: Graph, definitions: dg.Definitions | None = None) -> dict[str, tuple[StaleStatus, set[str]]]:
    """State of each asset, and for stale ones which asset changed in which way."""
    definitions = definitions or load()
    resolver = CachingStaleStatusResolver(
        graph.instance, definitions.resolve_asset_graph(), LoadingContextForTest(graph.instance)
    )
    found = {}
    for name in ASSETS:
        causes = resolver.get_stale_causes(dg.AssetKey(name), COHORT)
        found[name] = (
            resolver.get_status(dg.AssetKey(name), COHORT),
            {
                f"{cause.category.value} of {(cause.dependency or cause.key).asset_key.to_user_string()}"
                for cause in causes
            },
        )
    return found


def test_the_version_of_data_follows_the_records_and_what_was_made_of_old_ones_is_stale(ward: Graph) -> None:
    assert {status for status, _ in _statuses(ward).values()} == {StaleStatus.FRESH}
    first = data_versions(ward.result)
    team = Team(COHORT)
    team.visits.append({"patient_id": f"{MARK}-9999", "visit_number": 1, "visit_day": 1, "systolic_bp_mmhg": 130})
    team.subjects.reverse()
    team.write(ward.folder / "catalogue")
    again = data_versions(run_job(ward.instance, ward.platform, "raw_records"))
    assert again == {"raw_records": first["raw_records"]}
    assert {status for status, _ in _statuses(ward).values()} == {StaleStatus.FRESH}

    team.change("visits", 1, systolic_bp_mmhg=199)
    team.write(ward.folder / "catalogue")
    changed = data_versions(run_job(ward.instance, ward.platform, "raw_records"))
    assert changed["raw_records"] != first["raw_records"]
    statuses = _statuses(ward)
    assert statuses["validated_records"] == (StaleStatus.STALE, {"DATA of raw_records"})

    caught_up = run_job(ward.instance, ward.platform, "validated_records", "quarantined_records")
    versions = data_versions(caught_up)
    assert versions["validated_records"] != first["validated_records"]
    assert versions["quarantined_records"] == first["quarantined_records"]
    assert _statuses(ward)["features"] == (StaleStatus.STALE, {"DATA of validated_records"})


def test_a_new_version_of_code_makes_its_asset_stale(patients: Graph) -> None:
    assets = dg.load_assets_from_modules([cohorts, features])
    changed = dg.map_asset_specs(
        lambda spec: spec.replace_attributes(code_version="2") if spec.key == dg.AssetKey("features") else spec, assets
    )
    as_loaded = dg.Definitions(assets=assets, resources={"platform": Platform()})
    rewritten = dg.Definitions(assets=changed, resources={"platform": Platform()})
    assert {status for status, _ in _statuses(patients, as_loaded).values()} == {StaleStatus.FRESH}
    statuses = _statuses(patients, rewritten)
    assert statuses["validated_records"] == (StaleStatus.FRESH, set())
    assert statuses["features"] == (StaleStatus.STALE, {"CODE of features"})


def test_one_of_two_assets_of_one_computation_is_reported_alone_and_says_what_was_written_with_it(
    patients: Graph,
) -> None:
    result = run_job(patients.instance, patients.platform, "quarantined_records")
    assert result.success
    told = metadata_of(result)
    assert set(told) == {"quarantined_records"}
    assert told["quarantined_records"]["written with it, not selected"].value == "validated_records"
    both = metadata_of(run_job(patients.instance, patients.platform, "quarantined_records", "validated_records"))
    assert set(both) == {"quarantined_records", "validated_records"}
    assert "written with it, not selected" not in both["validated_records"]
