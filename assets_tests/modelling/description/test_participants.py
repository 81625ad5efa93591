"""The flow of participants loses nobody, and names why each was left out."""

from __future__ import annotations

from pathlib import Path

from assets_tests.worlds.ward.trained import Row, Trained, train
from clinical_assets.modelling.trainings.card_sections import flow_lines


def _spoil(subjects: list[Row], visits: list[Row]) -> None:
    subjects[0]["age_years"] = 400
    subjects[1]["age_years"] = "old"
    del visits


def test_every_record_is_validated_or_refused_and_every_unit_used_or_excluded(trained_ward: Trained) -> None:
    results = trained_ward.training.results
    flow = results.participants
    assert flow is not None
    for table in flow.tables:
        assert table.raw == table.refused + table.validated
    assert flow.used + sum(each.units for each in flow.excluded) == flow.units
    assert flow.used == results.train.n + results.holdout.n


def test_refused_records_are_counted_by_their_reasons(tmp_path: Path) -> None:
    results = train(tmp_path, change=_spoil).training.results
    assert results.participants is not None
    subjects = results.participants.tables[0]
    assert (subjects.refused, subjects.validated) == (2, subjects.raw - 2)
    assert sum(each.records for each in subjects.reasons if each.columns == "age_years") == 2
    assert "2 refused" in flow_lines(results)[0]
