"""What serves is asked each day about people whose risk is known; an answer that deviates is a finding."""

from __future__ import annotations

import pytest

from assets_tests.governance.keyed_evidence.forging import wrong
from assets_tests.worlds.ward.released import Releasable
from assets_tests.worlds.ward.trained import COHORT
from clinical_assets.governance.promotion import control_samples
from clinical_assets.governance.promotion.control_samples import control_deviations
from clinical_assets.modelling.bundle.record_scoring import RecordScorer
from clinical_assets.modelling.champion import champion_pointer
from clinical_assets.modelling.trainings.reference import relation_of


def _champion(made: Releasable) -> str:
    champion = champion_pointer.current(made.settings, COHORT)
    assert champion is not None
    return champion.digest


def test_a_champion_gives_its_known_answers_again(
    second: Releasable,
) -> None:
    assert list(control_deviations(second.settings)) == [None]


def test_a_known_answer_that_does_not_come_out_again_is_a_finding(second: Releasable) -> None:
    assert "control samples" not in wrong(second)
    with second.candidate.warehouse.writer() as connection:
        connection.execute(f"UPDATE {relation_of(_champion(second))} SET risk = 0.9 * risk")
    (said,) = wrong(second)["control samples"]
    assert said.startswith(f"{COHORT}: risks of 50 control samples differ from the known ones by up to 0.0")
    assert "out of service" in said


def test_a_request_that_is_scored_otherwise_than_a_batch_is_a_finding(
    second: Releasable, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Forgetful(RecordScorer):
        """Loses the age of everybody on the way."""

        def features(self, records: object) -> object:  # type: ignore[override]
            import polars as pl

            return super().features(records).with_columns(pl.lit(40.0).alias("age_years"))  # type: ignore[arg-type]

    monkeypatch.setattr(control_samples, "RecordScorer", Forgetful)
    (said,) = control_deviations(second.settings)
    assert said is not None
    assert "scored otherwise in a batch than in a request" in said


def test_rows_that_are_elsewhere_are_no_finding(second: Releasable) -> None:
    with second.candidate.warehouse.writer() as connection:
        connection.execute(f"DROP TABLE {relation_of(_champion(second))}")
    assert list(control_deviations(second.settings)) == []


def test_a_champion_that_gives_no_answer_is_a_finding(second: Releasable) -> None:
    with second.candidate.warehouse.writer() as connection:
        connection.execute("ALTER TABLE validated.subjects RENAME COLUMN marker_a TO marker_z")
    (said,) = control_deviations(second.settings)
    assert said is not None
    assert said.startswith(f"{COHORT}: ")
