"""Every check of a micro-cohort fails when what it promises is not so."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import dagster as dg
import numpy as np
import polars as pl
import pytest

from assets_tests.defs.micro_cohorts.kept_results import CHECKS, kept_digests, kept_study
from assets_tests.worlds.machine.graphs import metadata_of
from assets_tests.worlds.team.paired import MARK, PairedTeam, Ward
from clinical_assets.pathways.results import expression_store
from clinical_assets.pathways.results.kept_results import ABLATION, STUDY, read_kept
from clinical_assets.pathways.results.study_store import keep_ablations, keep_study

# Checks: each is made to fail by what it is there for.


def _half_the_same(team: PairedTeam) -> None:
    before, after = team.matrix.columns[1:3]
    same = team.matrix.with_row_index()["index"] < team.matrix.height * 0.7
    team.matrix = team.matrix.with_columns(pl.when(same).then(before).otherwise(after).alias(after))


def _check_of_files(spoil: Callable[[PairedTeam], None]) -> Callable[[Ward], None]:
    """Spoil what the team supplies, and materialise the expression from it."""

    def do(ward: Ward) -> None:
        team = PairedTeam()
        spoil(team)
        ward.write(team)
        assert {event.step_key for event in ward.run("paired_expression").all_events if event.is_step_failure} == set()

    return do


def partner_missing(team: PairedTeam) -> None:
    team.sheet = team.sheet[1:]


def _deep_sample(team: PairedTeam) -> None:
    counts = team.counts()
    counts[:, 4] *= 20
    team.with_counts(counts)


def _shifted_sample(team: PairedTeam) -> None:
    column = team.matrix.columns[5]
    team.matrix = team.matrix.with_columns(pl.col(column) + 3)


def _crossed_batches(team: PairedTeam) -> None:
    team.sheet = team.sheet.with_columns(batch=pl.Series(["first", "second"] * 12))


def _batch_of_the_ill(team: PairedTeam) -> None:
    team.sheet = team.sheet.with_columns(batch=pl.col("label") + " plate")


def _one_label(team: PairedTeam) -> None:
    team.sheet = team.sheet.with_columns(label=pl.lit("asymptomatic"))


def _rewrite_expression(change: Callable[..., Any]) -> Callable[[Ward], None]:
    def do(ward: Ward) -> None:
        paired, _ = expression_store.read_kept_expression(ward.files)
        expression_store.keep_expression(ward.files, change(paired))

    return do


def _with_hole(paired: Any) -> Any:
    control = paired.control.copy()
    control[2, 7] = np.nan
    return replace(paired, control=control)


def _repeat_a_gene(paired: Any) -> Any:
    return replace(paired, genes=(paired.genes[1], *paired.genes[1:]))


def _state_another_kind(paired: Any) -> Any:
    return replace(paired, identifier_kind="entrez")


def _narrow_limits(ward: Ward) -> None:
    team = PairedTeam()
    team.description["sizes"]["largest"] = 18
    ward.write(team)


def _twin_sets(ward: Ward) -> None:
    _, expression = expression_store.read_kept_expression(ward.files)
    sets, _ = expression_store.read_kept_gene_sets(ward.files, expression=expression)
    twins = (sets.positions[1], *sets.positions[1:])
    expression_store.keep_gene_sets(ward.files, replace(sets, positions=twins), expression=expression)


def _few_genes_in_sets(ward: Ward) -> None:
    _, expression = expression_store.read_kept_expression(ward.files)
    sets, _ = expression_store.read_kept_gene_sets(ward.files, expression=expression)
    few = replace(sets, names=sets.names[:1], descriptions=sets.descriptions[:1], positions=(np.arange(11),))
    expression_store.keep_gene_sets(ward.files, few, expression=expression)


def _foreign_score(ward: Ward) -> None:
    digests = kept_digests(ward)
    scores, _ = expression_store.read_kept_scores(ward.files, **digests)
    p = scores.p_value.copy()
    p[0, 0] = np.nextafter(p[0, 0], 1)
    expression_store.keep_scores(ward.files, replace(scores, p_value=p), **digests)


def _keep_changed_study(ward: Ward, nulls: Callable[[Any], Any]) -> None:
    result, (handle, scored) = kept_study(ward)
    changed = replace(result, nulls=nulls(result.nulls))
    keep_study(ward.files, changed, plan=handle.plan(), expression=scored.expression, scores=scored.digest)


def _leaking_null(ward: Ward) -> None:
    def leak(nulls: Any) -> Any:
        return tuple(replace(n, honest=replace(n.honest, permuted=np.array([0.9, 0.92, 0.88]))) for n in nulls)

    _keep_changed_study(ward, leak)


def _no_null(ward: Ward) -> None:
    _keep_changed_study(ward, lambda _: ())


def _newer_study(ward: Ward) -> None:
    _, made_from, _ = read_kept(ward.files / ABLATION, asset="ablation_report")
    assert made_from["study"] == read_kept(ward.files / STUDY, asset="micro_cohort_study")[2]
    keep_ablations(ward.files, [], study="sha256:another")


WARN, ERROR = dg.AssetCheckSeverity.WARN, dg.AssetCheckSeverity.ERROR


@dataclass(frozen=True)
class Broken:
    """What is spoiled, which check must see it, how loudly, and in which words."""

    spoil: Callable[[Ward], None]
    check: str
    severity: dg.AssetCheckSeverity
    told: str


BROKEN = [
    Broken(
        _check_of_files(partner_missing),
        "paired_expression.every_subject_has_both_samples",
        WARN,
        "1 subjects were left out for want of two usable samples",
    ),
    Broken(
        _check_of_files(_half_the_same),
        "paired_expression.both_samples_are_of_one_person",
        WARN,
        "1 doubtful pairs",
    ),
    Broken(
        _rewrite_expression(_with_hole),
        "paired_expression.every_subject_has_both_samples",
        ERROR,
        "1 subjects lack values in one of their samples",
    ),
    Broken(
        _rewrite_expression(_repeat_a_gene),
        "paired_expression.genes_are_unique_and_of_one_kind",
        ERROR,
        "1 genes are repeated",
    ),
    Broken(
        _rewrite_expression(_state_another_kind),
        "paired_expression.genes_are_unique_and_of_one_kind",
        ERROR,
        "the identifiers look like symbol, stated is entrez",
    ),
    Broken(
        _check_of_files(_deep_sample),
        "paired_expression.libraries_are_alike",
        WARN,
        "1 samples are off the cohort's middle one by more than a factor of 4",
    ),
    Broken(
        _check_of_files(_shifted_sample),
        "paired_expression.libraries_are_alike",
        WARN,
        "1 samples are off the cohort's middle one by more than 1 log2",
    ),
    Broken(
        _check_of_files(_crossed_batches),
        "paired_expression.batches_do_not_stand_for_answers",
        WARN,
        "12 subjects have their samples in different batches",
    ),
    Broken(
        _check_of_files(_batch_of_the_ill),
        "paired_expression.batches_do_not_stand_for_answers",
        WARN,
        "2 of 2 batches hold one label only",
    ),
    Broken(
        _check_of_files(_one_label),
        "paired_expression.labels_have_subjects",
        WARN,
        "no subject has the positive label 'symptomatic'; there are 1 labels",
    ),
    Broken(_narrow_limits, "gene_sets.sets_keep_their_limits", ERROR, "sets outside 10 to 18 measured genes"),
    Broken(_twin_sets, "gene_sets.sets_keep_their_limits", ERROR, "1 sets hold the genes of another set"),
    Broken(_few_genes_in_sets, "gene_sets.sets_know_the_genes", WARN, "only 11 of 120 measured genes are in any set"),
    Broken(
        _foreign_score, "pathway_scores.scores_are_independent", ERROR, "1 values change when a subject is scored alone"
    ),
    Broken(
        _leaking_null,
        "micro_cohort_study.left_out_is_chance_without_labels",
        WARN,
        "pathways, logistic regression: 0.90 with permuted labels",
    ),
    Broken(
        _no_null, "micro_cohort_study.left_out_is_chance_without_labels", WARN, "insufficient: at least 2 permutations"
    ),
    Broken(_newer_study, "ablation_report.ablation_is_of_the_kept_study", ERROR, "the study was run again since"),
]


@pytest.mark.parametrize("case", BROKEN, ids=lambda case: f"{case.check}-{case.told}")
def test_a_check_fails_when_what_it_promises_is_not_so(copy: Ward, case: Broken) -> None:
    case.spoil(copy)
    evaluation = copy.check(*case.check.split("."))
    assert not evaluation.passed
    assert case.told in (evaluation.description or "")
    assert evaluation.severity == case.severity
    assert MARK not in str(evaluation)


def test_every_check_of_micro_cohorts_was_made_to_fail() -> None:
    declared = {f"{key.asset_key.to_user_string()}.{key.name}" for check in CHECKS for key in check.check_keys}
    assert {case.check for case in BROKEN} == declared


def test_a_blocking_check_stops_what_stands_on_it(ward: Ward, monkeypatch: pytest.MonkeyPatch) -> None:
    keep = expression_store.keep_expression
    monkeypatch.setattr(
        expression_store, "keep_expression", lambda folder, paired: keep(folder, _repeat_a_gene(paired))
    )
    ward.write(PairedTeam())
    result = ward.run("paired_expression", "gene_sets")
    assert not result.success
    assert set(metadata_of(result)) == {"paired_expression"}


def test_a_subject_without_two_samples_is_left_out_and_the_rest_go_on(ward: Ward) -> None:
    team = PairedTeam()
    partner_missing(team)
    ward.write(team)
    result = ward.run("paired_expression", "gene_sets", "pathway_scores")
    assert result.success
    told = metadata_of(result)
    assert told["paired_expression"]["subjects"].value == 11
    assert told["paired_expression"]["subjects left out"].value == 1
