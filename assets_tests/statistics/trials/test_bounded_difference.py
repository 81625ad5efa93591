import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import quad

from clinical_assets.foundation.errors import InsufficientData
from clinical_assets.foundation.types import FloatArray
from clinical_assets.statistics.inputs import InvalidArray
from clinical_assets.statistics.trials.bounded_difference import (
    gamma_exponential_log_e,
    mixture_boundary,
    running_difference,
    running_mean,
    tuned_rho,
)

LOWER, UPPER = -0.25, 1.0  # net benefit at a threshold of 1 in 5


def trials(
    number: int, n: int, *, seed: int, sensitivity: float = 0.7, share: "FloatArray | float" = 0.5
) -> tuple[FloatArray, FloatArray]:
    """Net benefit per patient and arm: both arms find 70 % of events, or the treated arm as many as said."""
    rng = np.random.default_rng(seed)
    arm = (rng.random((number, n)) < share).astype(float)
    event = rng.random((number, n)) < 0.2
    alert = rng.random((number, n)) < np.where(event, np.where(arm == 1, sensitivity, 0.7), 0.3)
    return np.where(alert, np.where(event, UPPER, LOWER), 0.0), arm


def test_the_mixture_is_the_integral_of_the_supermartingale_over_a_truncated_gamma() -> None:
    rho, scale = 7.0, 1.5

    def psi(x: float) -> float:
        return float((-np.log1p(-scale * x) - scale * x) / scale**2)

    def density(x: float) -> float:
        return float(np.exp(-rho * psi(x)) / (1 - scale * x))

    # The prior of proposition 9: a gamma distribution of 1 - scale * lambda, cut off at 1.
    whole = quad(density, 0, 1 / scale)[0]
    for total, variation in ((12.0, 30.0), (0.0, 10.0), (-4.0, 25.0)):

        def product(x: float, s: float = total, v: float = variation) -> float:
            return float(np.exp(x * s - v * psi(x)) * density(x))

        expected = np.log(quad(product, 0, 1 / scale)[0] / whole)
        assert gamma_exponential_log_e(total, variation, rho=rho, scale=scale) == pytest.approx(expected, rel=1e-6)


@given(st.floats(0, 1e5), st.floats(0.1, 1e3), st.floats(0.1, 10), st.sampled_from([0.05, 0.025, 0.001]))
def test_the_boundary_is_where_the_evidence_reaches_1_in_alpha(
    v: float, rho: float, scale: float, alpha: float
) -> None:
    edge = float(mixture_boundary(np.array([v]), rho=rho, scale=scale, alpha=alpha)[0])
    assert gamma_exponential_log_e(edge, v, rho=rho, scale=scale) == pytest.approx(-np.log(alpha), rel=1e-4, abs=1e-4)


def test_looking_after_every_patient_of_a_null_trial_errs_less_often_than_allowed() -> None:
    values, arm = trials(400, 1500, seed=1)
    trial = running_difference(values, arm, share_treated=0.5, lower=LOWER, upper=UPPER)
    rho = tuned_rho(float(trial.variation[:, -1].mean()), alpha=0.025)
    up, down = trial.log_evidence(above=0, rho=rho), trial.log_evidence_below(below=0, rho=rho)
    wrong = ((up >= np.log(40)) | (down >= np.log(40))).any(axis=1)
    assert wrong.mean() <= 0.05
    se = np.sqrt(trial.variation[:, 49:]) / trial.weight[:, 49:]
    assert (np.abs(trial.estimate[:, 49:] / se) > 1.96).any(axis=1).mean() > 0.25  # a plain z test, as often looked at


def test_a_share_that_is_raised_from_1_to_50_per_cent_keeps_level_and_coverage() -> None:
    share = np.repeat([0.01, 0.05, 0.25, 0.5], 400)
    values, arm = trials(200, 1600, seed=2, sensitivity=0.4, share=share)
    trial = running_difference(values, arm, share_treated=share, lower=LOWER, upper=UPPER)
    rho = tuned_rho(float(trial.variation[:, -1].mean()), alpha=0.025)
    truth = 0.2 * (0.4 - 0.7)
    assert (trial.log_evidence(above=truth, rho=rho) >= np.log(40)).any(axis=1).mean() <= 0.05
    assert (trial.log_evidence_below(below=truth, rho=rho) >= np.log(40)).any(axis=1).mean() <= 0.05
    assert trial.estimate[:, -1].mean() == pytest.approx(truth, abs=0.01)
    assert float(np.abs(np.diff(trial.total, axis=-1)).max()) < 2 * trial.bound


def test_bounds_and_evidence_say_the_same_of_a_trial() -> None:
    values, arm = trials(1, 1500, seed=3, sensitivity=0.1)
    trial = running_difference(values[0], arm[0], share_treated=0.5, lower=LOWER, upper=UPPER)
    rho = tuned_rho(500, alpha=0.025)
    sequence = trial.sequence(rho=rho, alpha=0.05)
    by_evidence = trial.log_evidence_below(below=0, rho=rho) >= np.log(2 / 0.05)
    np.testing.assert_array_equal(sequence.high < 0, by_evidence)
    assert by_evidence.any()


def test_pairs_of_one_patient_are_found_worse_from_few_disagreements() -> None:
    rng = np.random.default_rng(4)
    difference = np.where(rng.random(600) < 0.1, rng.choice([-1.0, 0.25], p=[0.7, 0.3], size=600), 0.0)
    pairs = running_mean(difference, lower=LOWER - UPPER, upper=UPPER - LOWER)
    sequence = pairs.sequence(rho=tuned_rho(20))
    assert sequence.high[-1] < 0
    assert sequence.estimate[-1] == pytest.approx(difference.mean())


def test_unusable_arguments_are_refused() -> None:
    with pytest.raises(InsufficientData):
        running_mean([], lower=0, upper=1)
    for refused in (
        lambda: running_mean([0.5, float("nan")], lower=0, upper=1),
        lambda: running_mean([0.5], lower=1, upper=0),
        lambda: running_difference([0.5], [2], share_treated=0.5, lower=0, upper=1),
        lambda: running_difference([0.5], [1, 0], share_treated=0.5, lower=0, upper=1),
        lambda: running_difference([0.5], [1], share_treated=1.0, lower=0, upper=1),
        lambda: running_difference([0.5], [1], share_treated=[0.5, 0.5], lower=0, upper=1),
        lambda: running_difference([[0.5]], [[1]], share_treated=0.5, lower=0, upper=1).sequence(rho=1),
        lambda: tuned_rho(0),
        lambda: gamma_exponential_log_e(1, 1, rho=1, scale=0),
    ):
        with pytest.raises(InvalidArray):
            refused()
