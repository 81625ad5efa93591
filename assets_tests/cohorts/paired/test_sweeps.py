"""A sweep file of W&B is used as it is; what does not map is refused with the line and the cure."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from assets_tests.worlds.descriptions import paired
from clinical_assets.cohorts.paired.paired import PairedCohortSpec, resolved_sweeps
from clinical_assets.cohorts.paired.sweeps import Sweep, read_sweep
from clinical_assets.foundation.errors import SpecError
from clinical_assets.pathways.inputs.study_inputs import FAMILIES, budget
from clinical_assets.pathways.study.search import Adaptive, Range
from clinical_assets.pathways.study.sweep import full_families

WANDB: dict[str, Any] = {
    "program": "train.py",
    "project": "hrv",
    "method": "random",
    "run_cap": 12,
    "metric": {"name": "precision_macro", "goal": "maximize"},
    "early_terminate": {"type": "hyperband", "min_iter": 3},
    "parameters": {
        "n_estimators": {"min": 5, "max": 30},
        "max_depth": {"distribution": "log_uniform_values", "min": 5, "max": 200},
        "max_samples": {"min": 0.5, "max": 1.0},
        "criterion": {"values": ["gini", "entropy"]},
        "bootstrap": {"value": True},
    },
}


WHOLE_BUT_NOT = {"distribution": "int_uniform", "min": 0.5, "max": 2}


def plan(sweeps: Any, **study: Any) -> PairedCohortSpec:
    return PairedCohortSpec.model_validate(paired("swept", study={"sweeps": sweeps, **study}))


def test_a_wandb_file_beside_the_description_is_the_familys_sweep(tmp_path: Path) -> None:
    (tmp_path / "hrv.yaml").write_text(yaml.safe_dump(WANDB))
    from_file = budget(plan({"random_forest": "hrv.yaml"}, select_by="accuracy").study, tmp_path)
    here = budget(plan({"random_forest": WANDB}, select_by="accuracy").study, tmp_path)
    assert from_file == here
    forest, logistic, _ = from_file.families
    assert (forest.selection.criterion, logistic.selection.criterion) == ("precision_macro", "accuracy")
    assert len(forest.configurations) == 12
    for one in forest.configurations:
        assert isinstance(one["n_estimators"], int)
        assert 5 <= one["n_estimators"] <= 30
        assert isinstance(one["max_depth"], int)
        assert 0.5 <= one["max_samples"] <= 1.0
        assert not float(one["max_samples"]).is_integer()
        assert one["bootstrap"] is True
    other_seed = budget(plan({"random_forest": {**WANDB, "seed": 1}}).study, tmp_path).families[0]
    assert other_seed.configurations != forest.configurations


def test_a_bayesian_search_keeps_its_space_budget_and_seed(tmp_path: Path) -> None:
    sweep = {
        "method": "bayes",
        "run_cap": 7,
        "seed": 3,
        "parameters": {"c": {"distribution": "log_uniform", "min": -2, "max": 2}, "l1_ratio": {"values": [0, 1]}},
    }
    family = budget(plan({"logistic_regression": sweep}).study, tmp_path).families[1]
    adaptive = family.selection.adaptive
    assert isinstance(adaptive, Adaptive)
    assert (adaptive.budget, adaptive.seed) == (7, 3)
    reach = dict(adaptive.space)["c"]
    assert isinstance(reach, Range)
    assert (reach.log, round(reach.low, 3), round(reach.high, 3)) == (True, 0.135, 7.389)


def test_the_published_sweep_is_shipped_and_is_the_one_of_the_full_study(tmp_path: Path) -> None:
    forest = budget(plan({"random_forest": "published"}).study, tmp_path).families[0]
    shipped, full = forest.configurations, full_families()[0].configurations
    assert len(shipped) == 324
    assert {frozenset(one.parameters) for one in shipped} == {frozenset(one.parameters) for one in full}
    assert forest.selection.criterion == "precision_macro"


def test_an_untuned_forest_is_a_family_of_one(tmp_path: Path) -> None:
    spec = plan({}, families=["untuned_forest"], ablation={"family": "untuned_forest"})
    (untuned,) = budget(spec.study, tmp_path).families
    assert untuned.name == FAMILIES["untuned_forest"]
    assert [str(one) for one in untuned.configurations] == ["n_estimators=100"]


@pytest.mark.parametrize(
    ("family", "changed", "words"),
    [
        ("random_forest", {"parameters": {"n_estimator": {"value": 5}}}, "did you mean n_estimators"),
        ("untuned_forest", {}, "it is not swept"),
        ("random_forest", {"run_cap": None}, "needs a budget: run_cap"),
        ("random_forest", {"method": "grid"}, "a grid has values; n_estimators has a range"),
        ("random_forest", {"parameters": {"max_depth": {"min": 5}}}, "min with max"),
        ("random_forest", {"parameters": {"max_depth": {"distribution": "beta", "min": 1, "max": 2}}}, "int_uniform"),
        ("random_forest", {"metric": {"name": "loss"}}, "precision_macro"),
        (
            "random_forest",
            {"parameters": {"max_depth": {"distribution": "int_uniform", "min": 1.5, "max": 2}}},
            "whole",
        ),
    ],
)
def test_what_does_not_map_is_refused(family: str, changed: dict[str, Any], words: str) -> None:
    families = ["random_forest", "logistic_regression", "untuned_forest"]
    with pytest.raises(ValueError, match=words):
        plan({family: {**WANDB, **changed}}, families=families)


def test_a_wrong_or_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"The sweep 'absent\.yaml' is not there"):
        resolved_sweeps(plan({"random_forest": "absent.yaml"}).study, tmp_path)
    (tmp_path / "hrv.yaml").write_text("method: grid\nparameters:\n  depth: {value: 3}\n")
    with pytest.raises(SpecError, match=r"hrv\.yaml: random_forest has no setting 'depth'"):
        read_sweep("hrv.yaml", tmp_path, "random_forest")
    assert Sweep.model_validate(yaml.safe_load((tmp_path / "hrv.yaml").read_text())).run_cap is None
