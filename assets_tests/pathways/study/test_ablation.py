"""Ablation inside the folds says the right thing where the truth is known."""

from __future__ import annotations

import numpy as np
import pytest

from clinical_assets.pathways.study.ablation import AblationError, ablation
from clinical_assets.pathways.study.designs import Design, StudyData
from clinical_assets.pathways.study.protocols import honest_protocol, study_protocol
from clinical_assets.pathways.study.study import Budget
from clinical_assets.pathways.study.sweep import Logistic

FAMILY = Logistic(c=(0.1, 1.0), l1_ratio=(0.0,))
PLAN = Budget(families=(FAMILY,), level=0.25)


def made(informative: int, *, n: int = 30, p: int = 60, shift: float = 2.0, seed: int = 0) -> StudyData:
    """Subjects whose first features carry the label."""
    rng = np.random.default_rng(seed)
    y = np.arange(n) % 2
    x = rng.normal(size=(n, p))
    x[:, :informative] += shift * y[:, None]
    design = Design("made", x.astype(np.float32), tuple(f"f{i}" for i in range(p)))
    return StudyData(
        subjects=tuple(f"p{i}" for i in range(n)),
        y=y,
        positive="sick",
        negative="well",
        designs=(design,),
        left_out=(),
        synthetic=True,
    )


def test_when_few_features_carry_everything_their_removal_is_seen_and_a_new_sweep_does_not_help() -> None:
    result = ablation(made(5), design="made", family=FAMILY, n_removed=8, n_random=39, budget=PLAN)
    assert result.conclusion == "features carried the signal"
    assert result.honest.p_value == 1 / 40
    always = {name for name, share in result.honest.often_removed if share == 1.0}
    assert {f"f{i}" for i in range(5)} <= always
    assert set(result.study.removed) >= {f"f{i}" for i in range(5)}
    assert "carried the signal" in result.verdict


def test_when_every_feature_carries_the_label_the_data_are_redundant() -> None:
    data = made(60, shift=1.2, seed=1)
    result = ablation(data, design="made", family=FAMILY, n_removed=8, n_random=39, budget=PLAN)
    assert result.conclusion == "data are redundant"
    assert result.honest.new_sweep.balanced_accuracy.value > 0.8


def test_when_nothing_carries_the_label_there_is_nothing_to_ablate() -> None:
    data = made(0, seed=2)
    result = ablation(data, design="made", family=FAMILY, n_removed=8, n_random=9, budget=PLAN)
    assert result.conclusion == "no signal to ablate"
    assert result.verdict.startswith("SYNTHETIC data. The full model is not shown to be better than chance")


def test_places_left_by_features_the_model_does_not_use_are_filled_at_random_not_in_the_tables_order() -> None:
    lasso = Logistic(c=(0.3,), l1_ratio=(1.0,))
    data = made(1, p=200, shift=5.0, seed=5)
    result = ablation(
        data, design="made", family=lasso, n_removed=20, n_random=3, budget=Budget(families=(lasso,), level=0.25)
    )
    assert 1 <= result.honest.n_used < 20
    assert result.study.n_used < 20
    shares = [share for name, share in result.honest.often_removed if name != "f0"]
    assert result.honest.often_removed[0] == ("f0", 1.0)
    assert np.mean(shares) < 0.7
    first = {f"f{i}" for i in range(20)}
    assert len(first & set(result.study.removed)) < 12


def test_the_full_model_is_the_one_of_the_honest_protocol_and_the_study_that_of_the_studys() -> None:
    data = made(3, seed=3)
    result = ablation(data, design="made", family=FAMILY, n_removed=5, n_random=3, budget=PLAN, seed=7)
    honest = honest_protocol(data.designs[0], data.y, FAMILY, seed=7)
    np.testing.assert_array_equal(result.honest.full.called, honest.called)
    assert result.honest.full.chosen == honest.chosen
    study = study_protocol(data.designs[0], data.y, FAMILY, seed=7)
    assert result.study.before.cross_validated == study.cross_validated
    assert len(result.study.removed) == 5


def test_ablation_is_reproducible_and_tells_its_progress() -> None:
    data, steps = made(3, seed=4), []

    def tell(*step: object) -> None:
        steps.append(step)

    first, second = (
        ablation(data, design="made", family=FAMILY, n_removed=5, n_random=4, budget=PLAN, progress=tell)
        for _ in range(2)
    )
    np.testing.assert_array_equal(first.honest.random_removal, second.honest.random_removal)
    assert first.verdict == second.verdict
    assert steps[0] == ("ablation inside folds: made", 0, 5)
    assert steps[-1] == ("ablation inside folds: made", 5, 5)


def test_removing_everything_or_nothing_is_refused() -> None:
    for n in (0, 60):
        with pytest.raises(AblationError, match="cannot be removed"):
            ablation(made(1), design="made", family=FAMILY, n_removed=n)
    with pytest.raises(AblationError, match="at least one random removal"):
        ablation(made(1), design="made", family=FAMILY, n_random=0)
