"""Every selection that a person can type or click is one that Dagster can run."""

from __future__ import annotations

import dagster as dg
import pytest

from clinical_assets.definitions import load

GRAPH = load().resolve_asset_graph()
NAMES = sorted(key.to_user_string() for key in GRAPH.materializable_asset_keys)


def selected(text: str) -> set[str]:
    return {key.to_user_string() for key in dg.AssetSelection.from_string(text).resolve(GRAPH)}


def planned(names: set[str]) -> set[str]:
    """Assets that a run with this selection makes."""
    keys = {dg.AssetKey(name) for name in names}
    job = load().get_repository_def().get_implicit_job_def_for_assets(list(keys))
    assert job is not None
    subset = job.get_subset(asset_selection=keys)
    return {key.to_user_string() for key in subset.asset_layer.selected_asset_keys}


@pytest.mark.parametrize("name", NAMES)
def test_each_asset_alone_can_be_selected(name: str) -> None:
    assert planned({name}) == {name}


@pytest.mark.parametrize(
    ("text", "some", "none"),
    [
        ("*model_card", {"raw_records", "validated_records", "risk_model", "model_card"}, {"quarantined_records"}),
        ("+features", {"validated_records", "features"}, {"quarantined_records", "raw_records"}),
        ("features+", {"features", "candidate_models", "cohort_overview"}, {"risk_model"}),
        ("features", {"features"}, {"candidate_models"}),
        ("group:models", {"candidate_models", "risk_model", "decision_threshold", "model_card"}, {"features"}),
        ("tag:layer=quarantine", {"quarantined_records"}, {"validated_records"}),
        ("kind:onnx", {"risk_model", "champion_model", "scored_records"}, {"candidate_models"}),
        ("key:risk_model or key:quarantined_records", {"risk_model", "quarantined_records"}, {"validated_records"}),
        ("group:micro_cohorts", {"gene_sets", "ablation_report"}, {"features"}),
    ],
)
def test_selections_of_every_form_are_run_as_they_are_written(text: str, some: set[str], none: set[str]) -> None:
    names = selected(text) - {"approval"}
    assert some <= names
    assert not none & names
    assert planned(names) == names


def test_a_selection_across_both_families_is_refused_because_no_partition_belongs_to_both() -> None:
    names = selected("kind:scikitlearn")
    assert {"candidate_models", "micro_cohort_study"} <= names
    keys = [dg.AssetKey(name) for name in sorted(names)]
    families = {GRAPH.get(key).partitions_def for key in keys}
    assert len(families) == 2
    first, second = (set(family.get_partition_keys()) for family in families if family is not None)
    assert not first & second


def test_parts_of_one_computation_depend_on_each_other_in_the_order_of_the_work() -> None:
    def above(name: str) -> set[str]:
        return {key.to_user_string() for key in GRAPH.get(dg.AssetKey(name)).parent_keys}

    assert above("candidate_models") == {"features"}
    assert above("risk_model") == {"candidate_models"}
    assert above("decision_threshold") == {"risk_model"}


def test_a_backfill_makes_one_run_per_partition_with_the_tag_that_queue_and_lock_go_by() -> None:
    # A policy, even one of a single partition per run, makes ranges, whose runs have no `dagster/partition`.
    assert {definition.backfill_policy for definition in GRAPH.assets_defs} == {None}
