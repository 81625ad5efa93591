"""A release candidate is the newest training or the one with a digest, and nothing that was tampered with."""

from __future__ import annotations

import json

import pytest

from assets_tests.worlds.ward.trained import COHORT, Trained, train_again
from clinical_assets.governance.candidate.candidate import CandidateChanged, candidate_of
from clinical_assets.modelling.bundle.bundle_files import BundleError
from clinical_assets.modelling.trainings.trainings import NoTraining, with_bundle
from clinical_assets.workspace import Workspace


def test_without_a_digest_it_is_the_newest_training(trained: Trained) -> None:
    candidate = trained.candidate()
    assert (candidate.cohort, candidate.digest, candidate.champion) == (COHORT, trained.digest, None)


def test_an_older_training_is_found_by_the_digest_of_its_bundle(trained: Trained) -> None:
    older = trained.digest
    trained.describe(modelling={"candidates": ["naive_bayes"], "search": {"trials": 1, "seed": 3}})
    newer = train_again(trained.settings)
    assert newer.digest != older
    assert newer.candidate().digest == newer.digest
    assert newer.candidate(older).digest == older
    assert with_bundle(trained.settings, COHORT, older).bundle().digest == older


def test_a_digest_that_no_training_has_is_refused_in_words(trained: Trained) -> None:
    with pytest.raises(NoTraining, match="no training of cohort made_up_ward"):
        trained.candidate(f"sha256:{'0' * 64}")


def test_a_cohort_that_was_never_trained_names_the_command(trained: Trained) -> None:
    with pytest.raises(NoTraining) as told:
        candidate_of(Workspace(trained.settings, trained.catalogue).cohort("heart_disease"))
    assert "train_cohort" in str(told.value)


def test_a_changed_file_of_the_bundle_is_noticed(trained: Trained) -> None:
    path = trained.training.folder / "bundle" / "features.sql"
    path.write_text(path.read_text(encoding="utf-8") + "-- changed\n", encoding="utf-8")
    with pytest.raises(BundleError, match=r"features\.sql"):
        trained.candidate()


def test_a_report_of_another_bundle_is_noticed(trained: Trained) -> None:
    path = trained.training.report / "results.json"
    results = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps({**results, "bundle_digest": f"sha256:{'1' * 64}"}), encoding="utf-8")
    with pytest.raises(CandidateChanged):
        trained.candidate()
