import numpy as np
import pytest

from clinical_assets.statistics.comparison.sequential import sample_ratio_mismatch
from clinical_assets.statistics.inputs import InvalidArray
from clinical_assets.statistics.trials.allocation import allocation_evidence
from clinical_assets.statistics.trials.bounded_difference import running_difference, tuned_rho
from clinical_assets.statistics.trials.looks import obrien_fleming_boundaries, obrien_fleming_spending
from clinical_assets.statistics.trials.planned_size import net_benefit_variance, planned_size


@pytest.mark.parametrize(
    ("fractions", "published"),
    [
        ([1.0], [1.96]),
        ([0.5, 1.0], [2.963, 1.969]),
        ([0.2, 0.4, 0.6, 0.8, 1.0], [4.877, 3.357, 2.680, 2.290, 2.031]),
    ],
)
def test_boundaries_are_those_of_published_tables(fractions: list[float], published: list[float]) -> None:
    assert obrien_fleming_boundaries(fractions) == pytest.approx(published, abs=0.002)


def test_scheduled_looks_together_spend_exactly_alpha() -> None:
    times = [0.25, 0.6, 1.0]
    edges = obrien_fleming_boundaries(times)
    steps = np.random.default_rng(0).normal(size=(200_000, 3)) * np.sqrt(np.diff([0, *times]))
    z = np.cumsum(steps, axis=1) / np.sqrt(times)
    assert (np.abs(z) >= edges).any(axis=1).mean() == pytest.approx(0.05, abs=0.002)
    first = (np.abs(z[:, 0]) >= edges[0]).mean()
    assert first == pytest.approx(obrien_fleming_spending(0.25), abs=0.0003)


def test_an_allocation_may_be_looked_at_after_every_patient_where_a_repeated_chi_square_may_not() -> None:
    alarms = {"e-process": 0, "chi-square": 0}
    for seed in range(1000):
        arm = (np.random.default_rng(seed).random(1500) < 0.5).astype(float)
        alarms["e-process"] += allocation_evidence(arm, share_treated=0.5, alpha=0.05).mismatch_at is not None
        if seed >= 100:
            continue
        hits = np.cumsum(arm)
        alarms["chi-square"] += any(
            sample_ratio_mismatch(int(hits[n - 1]), int(n - hits[n - 1]), share_treated=0.5, alpha=0.05).is_mismatch
            for n in range(20, 1500, 10)
        )
    assert alarms["e-process"] / 1000 <= 0.05
    assert alarms["chi-square"] / 100 > 0.15


def test_a_drift_of_the_assignment_is_found_while_the_share_is_raised() -> None:
    share = np.repeat([0.05, 0.5], 1500)
    sound = (np.random.default_rng(1).random(3000) < share).astype(float)
    evidence = allocation_evidence(sound, share_treated=share)
    assert evidence.mismatch_at is None
    assert evidence.expected == pytest.approx(825)
    drifted = (np.random.default_rng(1).random(3000) < np.where(share == 0.5, 0.62, share)).astype(float)
    found = allocation_evidence(drifted, share_treated=share)
    assert found.mismatch_at is not None
    assert 1500 < found.mismatch_at < 2500
    assert found.p_value < 0.001


def test_the_planned_size_has_the_power_that_was_asked_for() -> None:
    rates = {"prevalence": 0.3, "false_positive_rate": 0.3, "threshold": 0.25}
    variance = net_benefit_variance(sensitivity=0.65, **rates)
    effect = 0.3 * 0.4  # of 40 points of sensitivity at a prevalence of .3
    size = planned_size(effect=effect, variance=variance, lower=-1 / 3, upper=1.0, power=0.8)
    assert size.n_fixed < size.n < 3 * size.n_fixed
    rng = np.random.default_rng(5)
    arm = (rng.random((400, size.n)) < 0.5).astype(float)
    event = rng.random(arm.shape) < 0.3
    alert = rng.random(arm.shape) < np.where(event, np.where(arm == 1, 0.85, 0.45), 0.3)
    values = np.where(alert, np.where(event, 1.0, -1 / 3), 0.0)
    trial = running_difference(values, arm, share_treated=0.5, lower=-1 / 3, upper=1.0)
    found = trial.log_evidence(above=0, rho=tuned_rho(size.variation, alpha=0.025)) >= np.log(40)
    assert found[:, -1].mean() == pytest.approx(0.8, abs=0.08)
    assert found.any(axis=1).mean() > 0.78


def test_unusable_plans_are_refused() -> None:
    for refused in (
        lambda: planned_size(effect=0, variance=1, lower=0, upper=1),
        lambda: planned_size(effect=1e-6, variance=1, lower=0, upper=1),
        lambda: planned_size(effect=0.1, variance=0, lower=0, upper=1),
        lambda: net_benefit_variance(prevalence=0.2, sensitivity=1.1, false_positive_rate=0, threshold=0.2),
        lambda: obrien_fleming_boundaries([]),
        lambda: obrien_fleming_boundaries([0.5, 0.4]),
        lambda: obrien_fleming_spending(0),
        lambda: allocation_evidence([1, 0], share_treated=1.0),
        lambda: allocation_evidence([1, 0], share_treated=[0.5]),
        lambda: allocation_evidence([1, 2], share_treated=0.5),
    ):
        with pytest.raises(InvalidArray):
            refused()
