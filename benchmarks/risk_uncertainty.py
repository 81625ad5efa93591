"""How often the interval of a person's risk covers the true risk, and what was tried where none is given.

Made-up people: correlated measurements and flags, log-odds linear in them (but for ``bent``), about a quarter with the
event. A model is searched and fitted as in a training; counted over new people is how often the 95 % interval covers
the true risk, how wide it is, and whether the stated chance of another tier is the share of people who are in one.

Scenarios: people of one row, of few and many events per column, without signal, sparse effects under an elastic net,
classes balanced by weights, case weights of an unequal sample, four visits per subject with a frailty, and log-odds
that bend (what the interval does not promise to cover).

``--others`` measures what was considered for models without a linear form: bootstrap refits of the fitted procedure,
each with a map of its own from the rows that it did not draw, and inductive Venn-Abers on the out-of-fold scores.

Usage: python benchmarks/risk_uncertainty.py [--sets 40] [--others]
"""

from __future__ import annotations

import argparse
import time
import warnings
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from clinical_assets.modelling.search.fitting import FittedModel
    from clinical_assets.modelling.search.search import Tuned
    from clinical_assets.modelling.table.inputs import ModelInput

Floats = np.ndarray
TIERS = np.array([0.0, 0.1, 0.25, 0.5])
NEW_PEOPLE, REFITS = 400, 60
INTERCEPT = -1.4


@dataclass(frozen=True)
class Scenario:
    """What is drawn.

    Attributes
    ----------
    n, columns : int
        Training rows and features.
    strength, share : float
        Size of the effects, and the share of columns that have one.
    kind : str
        ``plain``, ``visits``, ``weights`` or ``bent``.
    """

    name: str
    n: int
    columns: int
    candidate: str = "logistic_ridge"
    strength: float = 1.0
    share: float = 1.0
    imbalance: str = "none"
    kind: str = "plain"


LINEAR = (
    Scenario("200 rows, 6 columns", 200, 6),
    Scenario("500 rows, 10 columns", 500, 10),
    Scenario("3,000 rows, 20 columns", 3000, 20),
    Scenario("400 rows, strong effects", 400, 10, strength=2.0),
    Scenario("500 rows, classes balanced", 500, 10, imbalance="class_weight"),
    Scenario("600 rows, case weights", 600, 10, kind="weights"),
    Scenario("800 rows of 200 subjects", 800, 8, kind="visits"),
    Scenario("500 rows, elastic net, half of the effects 0", 500, 10, candidate="logistic_elastic_net", share=0.5),
    Scenario("500 rows, no effects at all", 500, 10, strength=0.0),
    Scenario("500 rows, log-odds that bend", 500, 10, kind="bent"),
)
OTHERS = (
    Scenario("600 rows", 600, 10, candidate="lightgbm"),
    Scenario("600 rows, log-odds that bend", 600, 10, candidate="lightgbm", kind="bent"),
)


def people(rng: Any, n: int, columns: int) -> Floats:
    """Features (n, columns): correlated, the second half flags."""
    z = rng.normal(size=(n, columns))
    z = 0.7 * z + 0.3 * z[:, :1]
    z[:, columns // 2 :] = z[:, columns // 2 :] > 0.5
    return np.asarray(z)


def log_odds(X: Floats, beta: Floats, kind: str) -> Floats:
    """True log-odds (n,) of features, before a frailty."""
    bent = 0.6 * (X[:, 0] ** 2 - 1) + 0.8 * X[:, 1] * X[:, 2] if kind == "bent" else 0.0
    return np.asarray(INTERCEPT + X @ beta + bent)


def true_risk(X: Floats, beta: Floats, kind: str) -> Floats:
    """Risk (n,) of people with these features, over whatever else differs between them."""
    from clinical_assets.statistics.calibration.logistic import expit

    if kind != "visits":
        return expit(log_odds(X, beta, kind))
    points, shares = np.polynomial.hermite_e.hermegauss(21)
    return expit(log_odds(X, beta, kind)[:, None] + 1.5 * points) @ (shares / shares.sum())


def drawn(scenario: Scenario, beta: Floats, rng: Any) -> ModelInput:
    """Training rows of a scenario."""
    import polars as pl

    from clinical_assets.modelling.table.inputs import ModelInput
    from clinical_assets.statistics.calibration.logistic import expit

    n, columns = scenario.n, scenario.columns
    groups, weights = np.arange(n), None
    if scenario.kind == "visits":
        groups = np.repeat(np.arange(n // 4), 4)
        X = people(rng, n // 4, columns)[groups]
        X[:, : columns // 3] = people(rng, n, columns)[:, : columns // 3]  # what changes from visit to visit
        frailty = 1.5 * rng.normal(size=n // 4)[groups]
        y = rng.random(n) < expit(log_odds(X, beta, scenario.kind) + frailty)
    elif scenario.kind == "weights":
        everybody = people(rng, 6 * n, columns)
        events = rng.random(6 * n) < true_risk(everybody, beta, scenario.kind)
        sampled = np.where(events, 0.9, 0.15) * np.where(everybody[:, 0] > 0, 1, 0.5)
        taken = np.sort(rng.permutation(np.flatnonzero(rng.random(6 * n) < sampled))[:n])
        X, y, weights = everybody[taken], events[taken], 1 / sampled[taken]
        weights = weights / weights.mean()
        groups = np.arange(taken.size)
    else:
        X = people(rng, n, columns)
        y = rng.random(n) < true_risk(X, beta, scenario.kind)
    names = tuple(f"f{j}" for j in range(columns))
    frame = pl.DataFrame({"row": np.arange(y.size)})
    return ModelInput(frame, X, y.astype(np.int64), groups, names, ("no", "yes"), weights)


def fitted(scenario: Scenario, data: ModelInput) -> tuple[FittedModel, Tuned]:
    """The final model of a training."""
    from clinical_assets.cohorts.decisions import Modelling
    from clinical_assets.modelling.search.fitting import fit_final

    modelling = Modelling.model_validate(
        {
            "candidates": [scenario.candidate],
            "imbalance": [scenario.imbalance],
            "search": {"trials": 8, "inner_folds": 5, "outer_folds": 2, "seed": 1},
        }
    )
    return fit_final(scenario.candidate, data, modelling=modelling)


def covered(low: Floats, high: Floats, truth: Floats) -> list[float]:
    """Share covered, and mean width."""
    return [float(np.mean((low <= truth) & (truth <= high))), float(np.mean(high - low))]


def of_terms(model: FittedModel, X: Floats, truth: Floats) -> list[float] | None:
    """What the bundle would say of new people: coverage, width, mean chance of another tier, and its share."""
    from clinical_assets.modelling.table.preparation import Preparation
    from clinical_assets.statistics.calibration.linear_uncertainty import (
        other_tier_probability,
        risk_interval,
        standard_errors,
    )

    if model.uncertainty.factor is None:
        return None
    columns = Preparation.of(model.pipeline, n_features=X.shape[1]).apply(X)
    error = standard_errors(np.column_stack([np.ones(len(X)), columns]), model.uncertainty.factor)
    served = model.predict_proba(X)
    elsewhere = np.searchsorted(TIERS, served, side="right") != np.searchsorted(TIERS, truth, side="right")
    chance = other_tier_probability(served, error, TIERS)
    return [*covered(*risk_interval(served, error), truth), float(chance.mean()), float(elsewhere.mean())]


def of_refits(model: FittedModel, tuned: Tuned, data: ModelInput, X: Floats, truth: Floats) -> dict[str, list[float]]:
    """Coverage and width of bootstrap refits and of Venn-Abers."""
    from sklearn.isotonic import IsotonicRegression

    from clinical_assets.modelling.search import candidates, recalibration
    from clinical_assets.modelling.search.search import fit_setting

    refits = []
    for number in range(REFITS):
        rows = np.sort(np.random.default_rng([7, number]).integers(0, data.n, data.n))
        again = replace(data, X=data.X[rows], y=data.y[rows], groups=rows)
        pipeline = candidates.without_sampler(fit_setting(model.name, tuned.parameters, tuned.imbalance, again, seed=1))
        left = np.setdiff1d(np.arange(data.n), rows)
        own = recalibration.fit(
            data.y[left], candidates.raw_risk(pipeline.predict_proba(data.X[left]), floor=model.floor)
        )
        refits.append(own.apply(candidates.raw_risk(pipeline.predict_proba(X), floor=model.floor)))
    scores, served = tuned.recalibration.apply(tuned.raw), model.predict_proba(X)
    pair = [
        np.array(
            [
                IsotonicRegression(out_of_bounds="clip").fit(np.r_[scores, s], np.r_[data.y, label]).predict([s])[0]
                for s in served
            ]
        )
        for label in (0, 1)
    ]
    return {
        "bootstrap refits": covered(*np.quantile(refits, [0.025, 0.975], axis=0), truth),
        "Venn-Abers": covered(*pair, truth),
    }


def main() -> None:
    """Print a line per scenario."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--sets", type=int, default=40, help="data sets per scenario")
    parser.add_argument("--others", action="store_true", help="what was tried for models that are not linear")
    asked = parser.parse_args()
    warnings.simplefilter("ignore")
    for scenario in OTHERS if asked.others else LINEAR:
        begun, found, none = time.process_time(), {}, 0
        for number in range(asked.sets):
            rng = np.random.default_rng(1000 + number)
            beta = rng.normal(size=scenario.columns) * scenario.strength * 1.5 / np.sqrt(scenario.columns)
            beta *= rng.random(scenario.columns) < scenario.share
            data = drawn(scenario, beta, rng)
            model, tuned = fitted(scenario, data)
            X = people(rng, NEW_PEOPLE, scenario.columns)
            truth = true_risk(X, beta, scenario.kind)
            if asked.others:
                for name, values in of_refits(model, tuned, data, X, truth).items():
                    found.setdefault(name, []).append(values)
            elif (values := of_terms(model, X, truth)) is None:
                none += 1
            else:
                found.setdefault("interval", []).append(values)
        for name, values in found.items():
            mean = np.mean(values, axis=0)
            tiers = f", other tier {mean[2]:.3f} said, {mean[3]:.3f} true" if mean.size > 2 else ""
            print(
                f"{scenario.candidate:21s} {scenario.name:46s} {name}: covers {mean[0]:.3f}, {mean[1]:.3f} wide{tiers}"
                f"; {none} of {asked.sets} without; {(time.process_time() - begun) / asked.sets:.1f} CPU s per set",
                flush=True,
            )


if __name__ == "__main__":
    main()
