import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from scipy.integrate import quad

from clinical_assets.foundation.errors import InsufficientData
from clinical_assets.foundation.types import FloatArray
from clinical_assets.statistics.comparison.sequential import (
    asymptotic_half_width,
    difference_confidence_sequence,
    guardrail_evidence,
    mean_confidence_sequence,
    mixture_rho,
    sample_ratio_mismatch,
)
from clinical_assets.statistics.inputs import InvalidArray


def trial(n: int, *, seed: int, effect: float = 0.0, share: float = 0.5) -> tuple[FloatArray, FloatArray]:
    """Outcomes and arms of a simulated trial: events at a rate of .3, and of .3 + effect under treatment."""
    rng = np.random.default_rng(seed)
    arm = (rng.random(n) < share).astype(float)
    return (rng.random(n) < 0.3 + effect * arm).astype(float), arm


def test_the_half_width_is_the_formula_of_the_paper() -> None:
    n, sd, alpha, n_star = 400, 1.7, 0.05, 1000
    rho = np.sqrt((-2 * np.log(alpha) + np.log(-2 * np.log(alpha) + 1)) / n_star)
    width = sd * np.sqrt(2 * (n * rho**2 + 1) / (n**2 * rho**2) * np.log(np.sqrt(n * rho**2 + 1) / alpha))
    assert mixture_rho(n_star, alpha=alpha) == pytest.approx(rho)
    assert asymptotic_half_width(n, sd, rho=rho, alpha=alpha) == pytest.approx(width)


def test_the_tuning_makes_the_sequence_tightest_about_where_it_says() -> None:
    n_star = 2000
    candidates = np.geomspace(0.2, 5, 60) * mixture_rho(n_star)
    widths = [float(asymptotic_half_width(n_star, 1.0, rho=r)) for r in candidates]
    assert candidates[int(np.argmin(widths))] == pytest.approx(mixture_rho(n_star), rel=0.15)


def test_every_look_is_the_formula_on_the_records_seen_so_far() -> None:
    x = np.random.default_rng(0).exponential(size=200) + 1e4
    sequence = mean_confidence_sequence(x, n_star=150, n_first=20)
    rho = mixture_rho(150)
    assert np.isinf(sequence.low[:19]).all()
    for n in (20, 77, 200):
        half = float(asymptotic_half_width(n, x[:n].std(), rho=rho))
        assert sequence.estimate[n - 1] == pytest.approx(x[:n].mean())
        assert sequence.high[n - 1] - sequence.estimate[n - 1] == pytest.approx(half)


def test_looking_after_every_patient_keeps_the_level_where_a_plain_z_test_does_not() -> None:
    false_alarms: dict[str, float] = {"sequence": 0, "z test": 0}
    for seed in range(300):
        y, arm = trial(2000, seed=seed)
        sequence = difference_confidence_sequence(y, arm, share_treated=0.5, n_star=1000)
        false_alarms["sequence"] += sequence.first_exclusion() is not None
        n = np.arange(1, 2001)
        treated, hits, all_hits = np.cumsum(arm), np.cumsum(y * arm), np.cumsum(y)
        with np.errstate(invalid="ignore", divide="ignore"):
            a, b = hits / treated, (all_hits - hits) / (n - treated)
            z = (a - b) / np.sqrt(a * (1 - a) / treated + b * (1 - b) / (n - treated))
        false_alarms["z test"] += (np.abs(z[49:]) > 1.96).any()
    assert false_alarms["sequence"] / 300 <= 0.05
    assert false_alarms["z test"] / 300 > 0.2


def test_the_sequence_covers_an_uneven_trial_at_all_times_and_finds_an_effect() -> None:
    covered = found = 0
    for seed in range(200):
        y, arm = trial(3000, seed=seed, effect=-0.12, share=0.3)
        sequence = difference_confidence_sequence(y, arm, share_treated=0.3, n_star=1500)
        covered += sequence.first_exclusion(-0.12) is None
        found += sequence.first_exclusion(0.0) is not None and sequence.high[-1] < 0
    assert covered / 200 >= 0.95
    assert found / 200 > 0.9


def test_the_running_difference_ends_near_the_difference_of_means_and_is_as_precise() -> None:
    ours, plain = [], []
    for seed in range(200):
        y, arm = trial(1000, seed=seed, effect=0.1)
        sequence = difference_confidence_sequence(y, arm, share_treated=0.5, n_star=1000)
        ours.append(sequence.estimate[-1])
        plain.append(y[arm == 1].mean() - y[arm == 0].mean())
    assert np.mean(ours) == pytest.approx(0.1, abs=0.008)
    assert np.std(ours) == pytest.approx(np.std(plain), rel=0.05)


def test_only_the_past_centres_a_contribution() -> None:
    y, arm = trial(200, seed=0)
    whole = difference_confidence_sequence(y, arm, share_treated=0.5, n_star=100)
    part = difference_confidence_sequence(y[:120], arm[:120], share_treated=0.5, n_star=100)
    np.testing.assert_allclose(whole.estimate[:120], part.estimate)


def test_evidence_is_the_mixture_of_likelihood_ratios_above_the_limit() -> None:
    x = np.array([1.0, 0, 1, 1, 0, 1])
    limit, prior = 0.2, (2.0, 3.0)
    evidence = guardrail_evidence(x, limit=limit, prior=prior)
    density = stats.beta(*prior)
    for n in range(1, 7):
        s, f = x[:n].sum(), n - x[:n].sum()

        def ratio(rate: float, s: float = float(s), f: float = float(f)) -> float:
            likelihood = (rate / limit) ** s * ((1 - rate) / (1 - limit)) ** f
            return float(likelihood * density.pdf(rate) / density.sf(limit))

        assert np.exp(evidence.log_e[n - 1]) == pytest.approx(quad(ratio, limit, 1)[0], rel=1e-6)


@given(st.floats(0.02, 0.9), st.integers(0, 6), st.floats(0, 1))
def test_evidence_expects_at_most_1_at_every_rate_within_the_limit(limit: float, n: int, part: float) -> None:
    rate = part * limit
    expected = 0.0
    for outcome in range(2 ** (n + 1)):
        x = np.array([(outcome >> i) & 1 for i in range(n + 1)], dtype=float)
        chance = rate ** x.sum() * (1 - rate) ** (x.size - x.sum())
        expected += chance * np.exp(guardrail_evidence(x, limit=limit).log_e[-1])
    assert expected <= 1 + 1e-9


@pytest.mark.parametrize("rate", [0.1, 0.06])
def test_a_guardrail_watched_after_every_patient_keeps_its_level(rate: float) -> None:
    crossings = 0
    for seed in range(300):
        x = (np.random.default_rng(seed).random(1500) < rate).astype(float)
        crossings += guardrail_evidence(x, limit=0.1).crossed_at is not None
    assert crossings / 300 <= 0.05


def test_a_guardrail_notices_a_rate_above_its_limit_and_says_when() -> None:
    crossed = []
    for seed in range(100):
        x = (np.random.default_rng(seed).random(1500) < 0.16).astype(float)
        evidence = guardrail_evidence(x, limit=0.1)
        if evidence.crossed_at is not None:
            crossed.append(evidence.crossed_at)
            assert evidence.p_value <= 0.05
            assert evidence.log_e[evidence.crossed_at - 1] >= np.log(20)
            assert (evidence.log_e[: evidence.crossed_at - 1] < np.log(20)).all()
    assert len(crossed) > 95
    assert np.median(crossed) < 700


def test_a_long_run_without_errors_is_no_evidence_and_no_overflow() -> None:
    evidence = guardrail_evidence(np.zeros(20_000), limit=0.3)
    assert evidence.p_value == 1
    assert evidence.crossed_at is None
    assert np.isfinite(guardrail_evidence(np.ones(20_000), limit=0.01).log_e).all()


@pytest.mark.parametrize(("treated", "control", "share"), [(520, 480, 0.5), (130, 870, 0.1), (7, 8, 0.5)])
def test_the_sample_ratio_test_is_the_chi_square_of_scipy(treated: int, control: int, share: float) -> None:
    n = treated + control
    expected = stats.chisquare([treated, control], [n * share, n * (1 - share)])
    result = sample_ratio_mismatch(treated, control, share_treated=share)
    assert (result.statistic, result.p_value) == pytest.approx((expected.statistic, expected.pvalue))
    assert result.is_mismatch == (expected.pvalue < 0.001)
    assert result.share_treated == treated / n


def test_a_broken_allocation_is_noticed_and_a_sound_one_is_not() -> None:
    assert sample_ratio_mismatch(5000, 5500, share_treated=0.5).is_mismatch
    assert not sample_ratio_mismatch(5000, 5100, share_treated=0.5).is_mismatch


def test_unusable_arguments_are_refused() -> None:
    y, arm = trial(100, seed=0)
    with pytest.raises(InsufficientData, match="first look is at 50"):
        mean_confidence_sequence(y[:49], n_star=100)
    with pytest.raises(InsufficientData, match="too few"):
        sample_ratio_mismatch(3, 4, share_treated=0.5)
    for refused in (
        lambda: mean_confidence_sequence(y, n_star=0),
        lambda: mean_confidence_sequence(y, n_star=10, n_first=1),
        lambda: difference_confidence_sequence(y, arm[:-1], share_treated=0.5, n_star=10),
        lambda: difference_confidence_sequence(y, arm + 1, share_treated=0.5, n_star=10),
        lambda: difference_confidence_sequence(y, arm, share_treated=1.0, n_star=10),
        lambda: asymptotic_half_width(10, 1.0, rho=0),
        lambda: guardrail_evidence(y + 0.5, limit=0.1),
        lambda: guardrail_evidence(y, limit=0.0),
        lambda: guardrail_evidence(y, limit=0.1, prior=(0, 1)),
        lambda: sample_ratio_mismatch(-1, 40, share_treated=0.5),
    ):
        with pytest.raises(InvalidArray):
            refused()
