import numpy as np
import pytest

from clinical_assets.foundation.errors import InsufficientData
from clinical_assets.statistics.calibration.logistic import expit, logit
from clinical_assets.statistics.inputs import InvalidArray
from clinical_assets.statistics.sample_size import (
    development_sample_size,
    events_per_parameter,
    max_cox_snell_r2,
    r2_from_auroc,
    r2_from_nagelkerke,
)


def test_the_worked_example_of_riley_is_reproduced() -> None:
    size = development_sample_size(n_parameters=24, prevalence=0.174, r2_cox_snell=0.288)
    assert (size.n_shrinkage, size.n_optimism, size.n_prevalence) == (623, 662, 221)
    assert size.required == 662
    assert size.events == pytest.approx(662 * 0.174)
    assert size.events_per_parameter == pytest.approx(662 * 0.174 / 24)
    assert size.is_met_by(662)
    assert not size.is_met_by(661)


def test_the_expected_shrinkage_at_the_required_size_is_the_target() -> None:
    for shrinkage in (0.8, 0.9, 0.95):
        size = development_sample_size(n_parameters=30, prevalence=0.1, r2_cox_snell=0.05, shrinkage=shrinkage)
        n = size.n_shrinkage
        # S = 1 + P / (n ln(1 - R2 / S)), solved at S
        reached = 1 + 30 / (n * np.log(1 - 0.05 / shrinkage))
        assert reached == pytest.approx(shrinkage, abs=1e-3)
        assert reached >= shrinkage


def test_more_parameters_need_more_records_and_a_stronger_model_fewer() -> None:
    def required(parameters: int, r2: float) -> int:
        return development_sample_size(n_parameters=parameters, prevalence=0.2, r2_cox_snell=r2).n_shrinkage

    assert required(10, 0.1) < required(20, 0.1)
    assert required(20, 0.2) < required(20, 0.1)


def test_the_largest_r2_is_that_of_the_null_likelihood() -> None:
    assert max_cox_snell_r2(0.5) == pytest.approx(0.75)
    phi = 0.174
    assert max_cox_snell_r2(phi) == pytest.approx(1 - (phi**phi * (1 - phi) ** (1 - phi)) ** 2)
    assert r2_from_nagelkerke(0.15, prevalence=0.5) == pytest.approx(0.15 * 0.75)


@pytest.mark.parametrize(("auroc", "prevalence"), [(0.65, 0.5), (0.8, 0.1), (0.89, 0.174)])
def test_the_r2_of_an_auroc_is_that_of_a_simulated_model(auroc: float, prevalence: float) -> None:
    rng = np.random.default_rng(0)
    y = (rng.random(1_000_000) < prevalence).astype(float)
    from scipy.stats import norm

    d = np.sqrt(2) * norm.ppf(auroc)
    p = expit(float(logit(np.array(prevalence))) + d * (rng.normal(size=y.size) + d * y) - d**2 / 2)
    gained = np.mean(y * np.log(p) + (1 - y) * np.log1p(-p))
    null = prevalence * np.log(prevalence) + (1 - prevalence) * np.log1p(-prevalence)
    assert r2_from_auroc(auroc, prevalence=prevalence) == pytest.approx(1 - np.exp(2 * (null - gained)), abs=0.003)


def test_the_r2_of_an_auroc_rises_with_it_and_is_0_at_chance() -> None:
    values = [r2_from_auroc(a, prevalence=0.3) for a in (0.5001, 0.6, 0.7, 0.8, 0.9, 0.99)]
    assert values[0] < 1e-6
    assert (np.diff(values) > 0).all()
    assert values[-1] < max_cox_snell_r2(0.3)


def test_events_per_parameter_count_the_rarer_class() -> None:
    assert events_per_parameter([1] * 80 + [0] * 20, n_parameters=5) == 4
    with pytest.raises(InsufficientData):
        events_per_parameter([0, 0], n_parameters=1)


@pytest.mark.parametrize(
    "change",
    [
        {"n_parameters": 0},
        {"prevalence": 0.0},
        {"r2_cox_snell": 0.0},
        {"r2_cox_snell": 0.61},
        {"shrinkage": 1.0},
        {"margin": 0.0},
    ],
)
def test_impossible_assumptions_are_refused(change: dict[str, float]) -> None:
    with pytest.raises(InvalidArray):
        development_sample_size(
            **{"n_parameters": 24, "prevalence": 0.174, "r2_cox_snell": 0.288, **change}  # type: ignore[arg-type]
        )
    with pytest.raises(InvalidArray):
        r2_from_auroc(0.4, prevalence=0.2)
