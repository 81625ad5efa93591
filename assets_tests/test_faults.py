"""What goes wrong at a team's desk, on a whole cohort: the old tables stay whole, the message names place and cure.

A wrong type in one of a million records is provoked in ``warehouse/validation``, broken encodings and quotes in
``sources``, full disks, killed processes and lost keys in ``test_machine_faults``.
"""

from __future__ import annotations

import contextlib
import gzip
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from assets_tests.worlds.team.cohorts import HORIZON_DAYS, LANDMARK_DAYS, MARK, SUBJECTS
from assets_tests.worlds.team.faulty import NAME, Ward, told
from clinical_assets.foundation.errors import ClinicalAssetsError, SourceError, ValidationFailed
from clinical_assets.foundation.settings import Settings
from clinical_assets.warehouse.features.features import build_features
from clinical_assets.warehouse.intake import ingestion
from clinical_assets.warehouse.intake.ingestion import ingest
from clinical_assets.warehouse.validation.validation import validate_cohort


@pytest.fixture
def ward(settings: Settings, tmp_path: Path) -> Ward:
    """A cohort of a team with all its tables."""
    return Ward(settings, tmp_path / "catalogue")


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
