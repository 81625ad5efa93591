"""Candidate and champion are compared on the same rows, that neither learned from."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from assets_tests.worlds.ward.dossiers import beside, crown, twin
from assets_tests.worlds.ward.trained import Trained
from clinical_assets.governance.candidate.candidate import ReleaseCandidate
from clinical_assets.governance.candidate.comparison import MEASURES, compare_with_champion
from clinical_assets.modelling.trainings.reference import relation_of


@pytest.fixture
def candidate(trained: Trained) -> ReleaseCandidate:
    return trained.candidate()


def _crowned(trained: Trained, candidate: ReleaseCandidate, folder: Path, **provenance: str) -> ReleaseCandidate:
    """The candidate beside a champion that is the same model under another digest."""
    crown(trained, twin(candidate.bundle, folder, **provenance))
    return beside(candidate, trained)


def _remember(candidate: ReleaseCandidate, *, moved: int = 0) -> None:
    """Keep the champion's rows as the candidate's, with some of the holdout counted as learned from."""
    assert candidate.champion is not None
    own, theirs = relation_of(candidate.digest), relation_of(candidate.champion.digest)
    with candidate.warehouse.writer() as connection:
        connection.execute(f"CREATE TABLE {theirs} AS SELECT * FROM {own}")
        connection.execute(
            f"UPDATE {theirs} SET part = 'train' WHERE patient_id IN "
            f"(SELECT patient_id FROM {own} WHERE part = 'holdout' ORDER BY patient_id LIMIT {moved})"
        )


def test_without_a_champion_nothing_is_compared(candidate: ReleaseCandidate) -> None:
    found = compare_with_champion(candidate)
    assert (found.champion, found.status, found.measures) == (None, "no champion", ())


def test_a_model_does_not_differ_from_itself(trained: Trained, candidate: ReleaseCandidate, tmp_path: Path) -> None:
    found = compare_with_champion(_crowned(trained, candidate, tmp_path / "twin"))
    holdout = candidate.training.results.holdout
    assert (found.n, found.events, found.left_out) == (holdout.n, holdout.events, 0)
    assert [pair.name for pair in found.measures] == list(MEASURES)
    for pair in found.measures:
        assert pair.difference is not None
        assert pair.candidate == pair.champion
        assert (pair.difference.value, pair.difference.ci_low, pair.difference.ci_high) == pytest.approx((0, 0, 0))
    auroc = candidate.training.results.metrics["auroc"].value
    assert found.measures[0].candidate is not None
    assert found.measures[0].candidate.value == pytest.approx(auroc)


def test_rows_that_the_champion_learned_from_are_left_out(
    trained: Trained, candidate: ReleaseCandidate, tmp_path: Path
) -> None:
    reviewed = _crowned(trained, candidate, tmp_path / "twin")
    _remember(reviewed, moved=30)
    found = compare_with_champion(reviewed)
    assert found.left_out == 30
    assert found.n == candidate.training.results.holdout.n - 30
    assert any("learned from" in note for note in found.notes)


def test_a_champion_whose_rows_are_unknown_is_said_to_be_possibly_flattered(
    trained: Trained, candidate: ReleaseCandidate, tmp_path: Path
) -> None:
    reviewed = _crowned(trained, candidate, tmp_path / "twin")
    assert any("not in this warehouse" in note for note in compare_with_champion(reviewed).notes)
    _remember(reviewed)
    assert compare_with_champion(reviewed).notes == ()


def test_features_made_by_the_champions_own_statement_give_what_the_kept_ones_give(
    trained: Trained, candidate: ReleaseCandidate, tmp_path: Path
) -> None:
    same = compare_with_champion(_crowned(trained, candidate, tmp_path / "same"))
    other = compare_with_champion(
        _crowned(trained, candidate, tmp_path / "other", features_sql_digest="sha256:" + "1" * 64)
    )
    assert other.measures == same.measures
    assert any("feature SQL differs" in note for note in other.notes)


def test_models_of_different_outcomes_are_not_compared(
    trained: Trained, candidate: ReleaseCandidate, tmp_path: Path
) -> None:
    reviewed = _crowned(trained, candidate, tmp_path / "twin")
    description = reviewed.bundle.description.model_copy(update={"classes": ("alive", "moved", "dead")})
    reviewed = replace(reviewed, bundle=replace(reviewed.bundle, description=description))
    found = compare_with_champion(reviewed)
    assert found.status == "insufficient"
    assert "foretell different things" in found.statement


def test_a_promoted_model_is_compared_with_the_champion_before_it(
    trained: Trained, candidate: ReleaseCandidate, tmp_path: Path
) -> None:
    before = _crowned(trained, candidate, tmp_path / "twin")
    assert before.champion is not None
    compared = compare_with_champion(before)
    crown(trained, candidate.bundle, previous=(before.champion.digest,))
    assert compare_with_champion(beside(candidate, trained)) == compared
