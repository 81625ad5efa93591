"""After release groups are judged by the bias gate's own rules, on matured outcomes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from assets_tests.worlds.ward.served import Served
from assets_tests.worlds.ward.trained import Trained
from clinical_assets.cohorts.spec import CohortSpec
from clinical_assets.governance.gates.bias.fairness import FairnessReport, fairness_report


@pytest.fixture(scope="module")
def served(trained_once: Trained, tmp_path_factory: pytest.TempPathFactory) -> Served:
    """The cohort's description and model; nothing is written."""
    return Served(trained_once, Path(tmp_path_factory.mktemp("sent")))


def simulated(n: int = 1_500, *, harm: float = 0.0, seed: int = 1) -> pl.DataFrame:
    """Records (synthetic): the model underestimates women by so much in log-odds."""
    rng = np.random.default_rng(seed)
    sex, region = rng.choice(["f", "m"], n), rng.choice(["north", "south"], n)
    log_odds = rng.normal(-0.7, 1.5, n)
    event = rng.random(n) < 1 / (1 + np.exp(-(log_odds + harm * (sex == "f"))))
    return pl.DataFrame(
        {
            "patient_id": [f"P{number}" for number in range(n)],
            "risk": 1 / (1 + np.exp(-log_odds)),
            "outcome": event.astype(np.int32),
            "protected_sex": sex,
            "protected_region": region,
        }
    )


def judged(served: Served, rows: pl.DataFrame, spec: CohortSpec | None = None) -> FairnessReport:
    found = fairness_report(rows, spec or served.spec, served.bundle)
    json.dumps(found.to_json(), allow_nan=False)
    assert all(np.isfinite(value) for value in found.metrics().values())
    return found


def test_a_group_that_is_served_worse_fails_by_name(served: Served) -> None:
    found = judged(served, simulated(harm=2.0))
    assert found.verdict == "fail"
    assert any("sex" in each for each in found.failing)
    assert not any(each.startswith("region=north:") for each in found.failing)
    assert "fail" in found.summary


def test_equal_service_does_not_fail(served: Served) -> None:
    assert judged(served, simulated()).failing == ()


def test_the_rules_are_those_of_the_bias_gate(served: Served) -> None:
    from clinical_assets.governance.gates.bias.gate import judge_groups
    from clinical_assets.governance.gates.bias.groups import groups_of, known_groups, labels_of

    rows = simulated(harm=2.0)
    spec = served.spec
    expected = judge_groups(
        rows["outcome"].to_numpy().astype(np.int64),
        rows["risk"].to_numpy(),
        tuple(groups_of(labels_of(rows, spec, everyone=rows))),
        known=known_groups(spec, rows),
        limits=spec.decisions.limits,
        threshold=served.bundle.description.threshold,
        seed=spec.modelling.search.seed,
    )
    assert judged(served, rows).verdicts == expected


def test_small_groups_are_not_judged(served: Served) -> None:
    found = judged(served, simulated(30))
    assert found.verdict == "insufficient"
    assert found.failing == ()


def test_without_protected_attributes_nothing_is_said(served: Served) -> None:
    spec = served.spec
    plain = {
        name: column.model_copy(update={"role": ("feature",)} if "protected" in column.role else {})
        for name, column in spec.subjects.columns.items()
    }
    tables = {**spec.tables, spec.subject_table: spec.subjects.model_copy(update={"columns": plain})}
    found = judged(served, simulated(), spec.model_copy(update={"tables": tables}))
    assert (found.verdict, found.verdicts) == ("insufficient", ())
    assert "no protected attribute" in found.summary


def test_numbers_over_time_are_bounded(served: Served) -> None:
    assert len(judged(served, simulated()).metrics()) <= 40
