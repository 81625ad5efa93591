"""What goes wrong at a team's desk, on a whole cohort: the old tables stay whole, the message names place and cure.

A wrong type in one of a million records is provoked in ``warehouse/test_validation``, broken encodings and quotes in
``sources``, writes that are killed inside DuckDB in ``warehouse/test_store``.
"""

from __future__ import annotations

import contextlib
import gzip
from collections.abc import Callable, Iterator
from pathlib import Path

import dagster as dg
import duckdb
import pytest

from assets_tests.assets.graphs import COHORT, files_that_hold, run_job
from assets_tests.team_cohorts import HORIZON_DAYS, LANDMARK_DAYS, MARK, SUBJECTS, Team
from assets_tests.team_runs import digests, make_tables
from assets_tests.warehouse.processes import child, small_disk
from clinical_assets.assets.resources import Cohort, Platform
from clinical_assets.errors import ClinicalAssetsError, SourceError, ValidationFailed, WarehouseError
from clinical_assets.settings import CATALOGUE, KEY, Settings
from clinical_assets.warehouse import ingestion
from clinical_assets.warehouse.features import build_features
from clinical_assets.warehouse.ingestion import ingest
from clinical_assets.warehouse.validation import validate_cohort

NAME = "ward_fault"


class Ward:
    """A cohort whose tables stand, and what a next run makes of changed records."""

    def __init__(self, settings: Settings, catalogue: Path) -> None:
        self.settings = settings
        self.catalogue = catalogue
        self.team = Team(NAME)
        self.write()
        make_tables(self.cohort)
        self.before = digests(self.cohort)

    @property
    def cohort(self) -> Cohort:
        return Platform(data=str(self.settings.data), catalogue=str(self.catalogue)).cohort(NAME)

    def file(self, table: str) -> Path:
        return self.catalogue / NAME / f"{table}.csv"

    def write(self) -> None:
        self.team.write(self.catalogue)

    def run(self) -> None:
        make_tables(self.cohort)

    def changed(self) -> set[str]:
        """Schemas with a table that is not what it was."""
        now = digests(self.cohort)
        return {
            name.split(".")[0] for name in now.keys() | self.before.keys() if now.get(name) != self.before.get(name)
        }

    def findings(self) -> list[tuple[str, int, str, str, str, str]]:
        """Table, record, column, rule, reason and cure of every finding."""
        return self.cohort.warehouse.query(
            "SELECT table_name, _row, column_name, rule, reason, cure FROM quarantine.findings ORDER BY ALL"
        ).rows()


@pytest.fixture
def ward(settings: Settings, tmp_path: Path) -> Ward:
    """A cohort of a team with all its tables."""
    catalogue = tmp_path / "catalogue"
    catalogue.mkdir()
    return Ward(settings, catalogue)


def told(caught: pytest.ExceptionInfo[ClinicalAssetsError]) -> str:
    """The whole message, which shows no identifier and no stack."""
    text = str(caught.value)
    assert MARK not in text
    assert "Traceback" not in text
    assert caught.value.cure
    return text


def test_records_that_break_a_promise_go_to_quarantine_one_by_one_with_place_and_cure(ward: Ward) -> None:
    ward.team.subjects.append({**ward.team.subjects[0], "age_years": 41})
    ward.team.visits.append({**ward.team.visits[0], "patient_id": f"{MARK}-7777"})
    ward.team.change("subjects", 10, sex="male")
    ward.team.change("subjects", 11, height_m=178)
    ward.team.change("subjects", 12, height_m=1.35)
    ward.team.limit(0.2)
    ward.write()
    ward.run()
    found = {(table, row, column, rule): (reason, cure) for table, row, column, rule, reason, cure in ward.findings()}

    reason, cure = found.pop(("subjects", 1, "patient_id", "duplicate_key"))
    assert reason == "one of 2 records with the same key that contradict each other in age_years"
    assert "Keep the true one at the source" in cure
    assert found.pop(("subjects", SUBJECTS + 1, "patient_id", "duplicate_key")) == (reason, cure)

    reason, cure = found.pop(("visits", 3 * SUBJECTS + 1, "patient_id", "reference"))
    assert reason == "refers to a record that subjects does not have"
    assert cure == "Add the record to subjects at the source, or remove this one."

    reason, cure = found.pop(("subjects", 10, "sex", "category"))
    assert reason == "not one of the categories f, m"
    assert "If 'm' is meant, write it so at the source" in cure

    reason, cure = found.pop(("subjects", 11, "height_m", "range"))
    assert reason == "outside 1.2 to 2.3 m"
    assert cure.startswith("The value would fit if it was recorded in cm: height_m is described in m, so convert it")

    # The visits of those who were refused follow them, and nothing else is left.
    assert {key[0] for key in found} == {"visits"}
    assert {key[3] for key in found} == {"reference"}
    assert {reason for reason, _ in found.values()} == {"the record of subjects that it refers to was refused itself"}
    assert {key[1] for key in found} == {1, 2, 3, *range(28, 34)}

    counts = ward.cohort.warehouse.query(
        "SELECT (SELECT count(*) FROM raw.subjects), (SELECT count(*) FROM validated.subjects), "
        "(SELECT count(*) FROM quarantine.records WHERE table_name = 'subjects'), "
        "(SELECT count(*) FROM model.features)"
    ).row(0)
    assert counts == (SUBJECTS + 1, SUBJECTS - 3, 4, SUBJECTS - 3)
    kept = ward.cohort.warehouse.query(
        "SELECT record FROM quarantine.records WHERE table_name = 'subjects' AND _row = 11"
    )
    assert '"height_m":"178"' in kept.item()


def test_more_refused_records_than_allowed_keep_the_old_tables_and_name_the_worst(ward: Ward) -> None:
    for record in range(1, 21):
        ward.team.change("subjects", record, height_m=150 + record)
    ward.write()
    with pytest.raises(ValidationFailed) as caught:
        ward.run()
    text = told(caught)
    assert f"table subjects: 20 of {SUBJECTS} records were refused, 33.3 %; `refused_limit` is 10 %" in text
    assert "20 x range of height_m: record 1: '151': outside 1.2 to 2.3 m. The value would fit if" in text
    assert "convert it at the source (times 0.01)" in text
    assert ward.changed() == {"raw", "quarantine"}


def test_a_height_in_the_wrong_unit_that_is_still_possible_is_kept_and_hinted_at(ward: Ward) -> None:
    ward.team.description["tables"]["subjects"]["columns"]["height_m"]["range"] = [0.2, 300]
    ward.team.change("subjects", 2, height_m=165)
    ward.write()
    ingest(ward.cohort.spec, settings=ward.settings, folder=ward.cohort.entry.folder)
    report = validate_cohort(ward.cohort.spec, ward.cohort.warehouse)
    assert report.tables["subjects"].implausible == {"height_m": 1}
    ((hint, count),) = report.tables["subjects"].unit_hints.items()
    assert "recorded in cm" in hint
    assert count == 1


def test_units_without_a_known_outcome_are_left_out_by_reason_and_counted(ward: Ward) -> None:
    ward.team.change("subjects", 3, died="")
    ward.team.change("subjects", 4, followed_days="")
    ward.team.change("subjects", 6, followed_days=LANDMARK_DAYS + HORIZON_DAYS + 1)
    ward.team.change("subjects", 8, followed_days=LANDMARK_DAYS + HORIZON_DAYS - 1)
    ward.write()
    ingest(ward.cohort.spec, settings=ward.settings, folder=ward.cohort.entry.folder)
    validate_cohort(ward.cohort.spec, ward.cohort.warehouse)
    built = build_features(ward.cohort.spec, ward.cohort.sql, ward.cohort.warehouse)
    assert built.rows == SUBJECTS
    assert built.exclusions == {
        # One in twelve was lost already, and record 8 now is.
        "censored before the horizon": SUBJECTS // 12 + 1,
        "event status missing": 1,
        "follow-up time missing": 1,
    }
    # Of twenty deaths one is not known any more, and one comes after the horizon: that patient is counted as alive.
    assert built.outcome_counts == {"alive": SUBJECTS - sum(built.exclusions.values()) - 18, "dead": 18}


def _cut_in_a_line(ward: Ward) -> None:
    path = ward.file("visits")
    path.write_bytes(path.read_bytes()[:-8])


def _cut_in_a_quote(ward: Ward) -> None:
    path = ward.file("subjects")
    text = path.read_text(encoding="utf-8")
    place = text.index(f"{MARK} remark 50")
    path.write_text(f'{text[:place]}"{text[place : place + 4]}', encoding="utf-8")


def _cut_in_a_packed_file(ward: Ward) -> None:
    path = ward.file("visits")
    path.write_bytes(gzip.compress(path.read_bytes())[:-20])


def _no_bytes(ward: Ward) -> None:
    ward.file("subjects").write_bytes(b"")


def _no_records(ward: Ward) -> None:
    path = ward.file("visits")
    path.write_text(path.read_text(encoding="utf-8").splitlines()[0] + "\n", encoding="utf-8")


def _other_columns(ward: Ward) -> None:
    path = ward.file("subjects")
    path.write_text(path.read_text(encoding="utf-8").replace("height_m", "height_cm", 1), encoding="utf-8")


def _gone(ward: Ward) -> None:
    ward.file("visits").unlink()


FILE_FAULTS: dict[str, tuple[Callable[[Ward], None], type[ClinicalAssetsError], tuple[str, ...], set[str]]] = {
    "cut in the middle of a line": (
        _cut_in_a_line,
        ValidationFailed,
        (f"table visits: 1 of {3 * SUBJECTS} records were refused", "1 x unreadable_line"),
        {"raw", "quarantine"},
    ),
    "cut in the middle of a quoted value": (
        _cut_in_a_quote,
        SourceError,
        ("Table 'subjects'", "subjects.csv", "line 51"),
        set(),
    ),
    "a packed file that is cut off": (_cut_in_a_packed_file, SourceError, ("Table 'visits'", "visits.csv"), set()),
    "a file without a byte": (_no_bytes, SourceError, ("Table 'subjects'", "subjects.csv"), set()),
    "a file with a header alone": (
        _no_records,
        ValidationFailed,
        ("table visits: the source has no records", "Check the source's path"),
        {"raw", "quarantine"},
    ),
    "a column under another name": (
        _other_columns,
        ValidationFailed,
        ("table subjects: the source lacks 1 described column: height_m (similar: height_cm)", "with `from:`"),
        {"raw", "quarantine"},
    ),
    "a file that is gone": (_gone, SourceError, ("Table 'visits'", f"{NAME}/visits.csv", "Put the file there"), set()),
}


@pytest.mark.parametrize("fault", FILE_FAULTS)
def test_a_file_that_is_not_whole_is_named_and_the_old_tables_stay(ward: Ward, fault: str) -> None:
    provoke, kind, words, changed = FILE_FAULTS[fault]
    ward.team.limit(0)
    ward.write()
    provoke(ward)
    with pytest.raises(kind) as caught:
        ward.run()
    text = told(caught)
    for word in words:
        assert word in text
    assert str(ward.catalogue) not in text
    assert ward.changed() == changed


def test_the_line_at_which_a_file_was_cut_off_is_in_quarantine_with_the_cure(ward: Ward) -> None:
    _cut_in_a_line(ward)
    ward.run()
    ((table, row, column, rule, _, cure),) = ward.findings()
    assert (table, row, column, rule) == ("visits", None, f"line:{3 * SUBJECTS + 1}", "unreadable_line")
    assert "Correct the line at the source" in cure
    assert ward.cohort.warehouse.query("SELECT count(*) FROM validated.visits").item() == 3 * SUBJECTS - 1


def test_a_file_that_changes_while_it_is_read_is_refused(ward: Ward, monkeypatch: pytest.MonkeyPatch) -> None:
    really_open = ingestion.open_source

    @contextlib.contextmanager
    def opened_while_an_export_goes_on(*args: object, **options: object) -> Iterator[object]:
        with really_open(*args, **options) as opened:  # type: ignore[arg-type]
            with ward.file("visits").open("a", encoding="utf-8") as file:
                file.write(f"{MARK}-0001,4,40,133\n")
            yield opened

    monkeypatch.setattr(ingestion, "open_source", opened_while_an_export_goes_on)
    with pytest.raises(SourceError) as caught:
        ward.run()
    text = told(caught)
    assert "visits.csv" in text
    assert "write to another name and rename at the end" in text
    assert ward.changed() == set()


STEPS: dict[str, Callable[[Cohort], object]] = {
    "raw": lambda cohort: ingest(cohort.spec, settings=cohort.settings, folder=cohort.entry.folder),
    "validated": lambda cohort: validate_cohort(cohort.spec, cohort.warehouse),
    "features": lambda cohort: build_features(cohort.spec, cohort.sql, cohort.warehouse),
}


@pytest.mark.parametrize("step", STEPS)
def test_a_full_disk_is_named_and_leaves_the_old_tables(settings: Settings, tmp_path: Path, step: str) -> None:
    (tmp_path / "catalogue").mkdir()
    with small_disk(settings.data, mebibytes=16):
        ward = Ward(settings, tmp_path / "catalogue")
        ward.team.change("visits", 1, systolic_bp_mmhg=101)
        ward.write()
        filler = settings.data / "filler"
        with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
            while True:
                file.write(bytes(4096))
        with pytest.raises(WarehouseError) as caught:
            STEPS[step](ward.cohort)
        text = told(caught)
        assert f"No space is left for cohort '{NAME}'" in text
        assert "point CLINICAL_ASSETS_DATA at a larger disk" in text
        filler.unlink()
        assert ward.changed() == set()
        ward.run()
        assert ward.changed() >= {"raw", "validated"}


KILLED_IN = {
    "raw": """
from clinical_assets.warehouse import ingestion_log
ingestion_log.add = lambda *_, **__: reached_and_wait("half way")
from clinical_assets.warehouse.ingestion import ingest
ingest(cohort.spec, settings=cohort.settings, folder=cohort.entry.folder)
""",
    "validated": """
from clinical_assets.warehouse import validation
really_finish, done = validation._finish, []
def finish(*args, **options):
    if done:
        reached_and_wait("half way")
    done.append(really_finish(*args, **options))
    return done[-1]
validation._finish = finish
validation.validate_cohort(cohort.spec, cohort.warehouse)
""",
    "features": """
from clinical_assets.warehouse import features
features.check_one_at_a_time = lambda *_, **__: reached_and_wait("half way")
features.build_features(cohort.spec, cohort.sql, cohort.warehouse)
""",
}


@pytest.mark.parametrize("step", KILLED_IN)
def test_a_process_killed_in_the_middle_of_a_step_leaves_the_old_tables_and_the_next_run_goes_on(
    ward: Ward, step: str
) -> None:
    ward.team.change("subjects", 1, age_years=99)
    ward.team.change("visits", 1, systolic_bp_mmhg=101)
    ward.write()
    expected: set[str] = set()
    if step != "raw":
        STEPS["raw"](ward.cohort)
        expected = {"raw"}
    if step == "features":
        STEPS["validated"](ward.cohort)
        expected = {"raw", "validated"}
    prelude = f"""
from clinical_assets.cohorts.registry import Catalogue
from clinical_assets.assets.resources import Cohort
cohort = Cohort(name={NAME!r}, settings=settings, catalogue=Catalogue.from_settings(settings))
"""
    with child(prelude + KILLED_IN[step], {CATALOGUE: str(ward.catalogue)}) as process:
        process.wait_for("half way")
        process.kill()
    assert ward.changed() == expected
    ward.run()
    assert ward.changed() == {"raw", "validated", "model"}


def test_with_a_key_the_whole_graph_runs_and_nothing_can_be_read_without_it(
    tmp_path: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(KEY, "a key for this test alone")
    catalogue, dagster = tmp_path / "catalogue", tmp_path / "dagster"
    catalogue.mkdir()
    dagster.mkdir()
    Team(COHORT).write(catalogue)
    platform = Platform(data=str(settings.data), catalogue=str(catalogue))
    with dg.instance_for_test(temp_dir=str(dagster)) as instance:
        result = run_job(instance, platform)
    assert result.success
    assert all(evaluation.passed for evaluation in result.get_asset_check_evaluations())
    assert files_that_hold(settings.data, MARK) == []
    assert files_that_hold(settings.data, "patient_id") == []
    warehouse = platform.cohort(COHORT).warehouse
    assert warehouse.query("SELECT count(*) FROM marts.cohort_overview").item() == 1
    with pytest.raises(duckdb.Error, match="key"):
        duckdb.connect(str(warehouse.path), read_only=True)
    snapshots = sorted((settings.snapshots / COHORT).rglob("*.parquet"))
    assert len(snapshots) == 2
    for snapshot in snapshots:
        with pytest.raises(duckdb.Error, match=r"encrypt|key"), duckdb.connect() as connection:
            connection.execute(f"SELECT * FROM '{snapshot}'")

    for other, words in (
        ("another key for this test", "cannot be opened with the configured key"),
        (None, "is encrypted"),
    ):
        if other is None:
            monkeypatch.delenv(KEY)
        else:
            monkeypatch.setenv(KEY, other)
        with pytest.raises(WarehouseError) as caught:
            platform.cohort(COHORT).warehouse.query("SELECT 1")
        text = told(caught)
        assert f"Warehouse file {COHORT}.duckdb" in text
        assert words in text
        assert "CLINICAL_ASSETS_KEY_FILE" in text
