"""The explorer shows out-of-fold risks, what a threshold does to them, and nobody's name."""

from __future__ import annotations

import numpy as np
import pytest

from assets_tests.worlds.ward.trained import COHORT, Trained
from clinical_assets.foundation.errors import InsufficientData
from clinical_assets.observability.explorer.cases import ALL, ExploredModel, cases_at, explored_model, look
from clinical_assets.statistics.decisions.net_benefit import net_benefit
from clinical_assets.workspace import Workspace


@pytest.fixture
def model(trained: Trained) -> ExploredModel:
    return explored_model(Workspace(trained.settings).cohort(COHORT))


def test_the_rows_are_those_of_training_with_out_of_fold_risks_and_the_holdout_is_not_among_them(
    model: ExploredModel, trained: Trained
) -> None:
    rows = trained.candidate().warehouse.query("SELECT outcome, risk FROM model.out_of_fold ORDER BY ALL")
    holdout = trained.candidate().warehouse.query("SELECT count(*) FROM model.holdout_scores").item()
    assert sorted(model.risk.tolist()) == sorted(rows["risk"].to_list())
    assert model.y.sum() == rows["outcome"].sum()
    assert holdout > 0
    assert model.y.size + holdout == trained.candidate().warehouse.query(
        "SELECT count(*) FROM model.outcomes WHERE exclusion IS NULL"
    ).item()  # fmt: skip


def test_a_higher_threshold_alerts_fewer_and_each_number_is_of_the_group_alone(model: ExploredModel) -> None:
    asked = {"c_fp": 1.0, "c_fn": 9.0}
    low = look(model, threshold=0.05, group=ALL, **asked)
    high = look(model, threshold=0.5, group=ALL, **asked)
    assert low.at.alert_rate.value > high.at.alert_rate.value
    assert low.at.sensitivity.value >= high.at.sensitivity.value
    assert low.benefit == net_benefit(model.y, model.risk, threshold=0.05)
    group = max(model.groups, key=lambda name: model.groups[name].sum())
    mine = look(model, threshold=0.05, group=group, **asked)
    mask = model.groups[group]
    assert (mine.n, mine.events) == (mask.sum(), model.y[mask].sum())
    assert mine.benefit == net_benefit(model.y[mask], model.risk[mask], threshold=0.05)


def test_costs_change_the_cost_and_not_the_risks(model: ExploredModel) -> None:
    cheap, dear = (look(model, threshold=0.2, group=ALL, c_fp=1.0, c_fn=cost) for cost in (1.0, 10.0))
    assert dear.cost.value > cheap.cost.value
    assert dear.benefit == cheap.benefit


def test_the_cases_nearest_to_the_threshold_come_first_and_name_nobody(model: ExploredModel, trained: Trained) -> None:
    shown = cases_at(model, threshold=0.3, group=ALL, most=10)
    away = np.abs(shown["risk"].to_numpy() - 0.3)
    assert (np.diff(away) >= 0).all()
    assert away.max() <= np.sort(np.abs(model.risk - 0.3))[9]
    assert set(shown.columns) == {"risk", "alert", "event", *model.features.columns}
    assert not set(shown.columns) & set(Workspace(trained.settings).cohort(COHORT).spec.key)


def test_a_group_without_an_event_is_insufficient(model: ExploredModel) -> None:
    nobody = {"sex=none": model.y == 0}
    with pytest.raises(InsufficientData):
        look(ExploredModel(**{**vars(model), "groups": nobody}), threshold=0.2, group="sex=none", c_fp=1, c_fn=9)
