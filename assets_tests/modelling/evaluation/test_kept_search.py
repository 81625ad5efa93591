"""Searches that are taken over give what a full training gives, to the byte, and only where they would be the same."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any

import polars as pl
import pytest

from assets_tests.worlds.tables.training import Table, as_input, made_up, make_spec
from clinical_assets.cohorts.spec import CohortSpec
from clinical_assets.foundation.canonical import readable_json
from clinical_assets.modelling.evaluation.kept_search import KeptSearch, Origin
from clinical_assets.modelling.evaluation.result import TrainingResult
from clinical_assets.modelling.evaluation.training import train_cohort
from clinical_assets.modelling.search import search
from clinical_assets.modelling.search.kinds import KINDS
from clinical_assets.modelling.search.search import FINAL, trials_frame
from clinical_assets.modelling.search.spaces import space

NAMES = ("logistic_ridge", "lightgbm", "mlp")
BEFORE, AFTER = {"false_positive": 1, "false_negative": 4}, {"false_positive": 3, "false_negative": 4}
CLASSES = ("none", "mild", "severe")


def _spec(costs: dict[str, int], *, names: tuple[str, ...] = NAMES, **more: Any) -> CohortSpec:
    return make_spec(candidates=names, trials=3, costs=costs, **more)


def _table(classes: int = 2) -> Table:
    table = made_up(240)
    later = pl.when(pl.col("x0").rank("ordinal") % 3 == 0).then(pl.col("outcome") + 1).otherwise(pl.col("outcome"))
    return table if classes == 2 else replace(table, frame=table.frame.with_columns(outcome=later))


def _kept(result: TrainingResult) -> KeptSearch:
    origin = Origin(result.digest, "an earlier run")
    names = [candidate.name for candidate in result.candidates]
    return KeptSearch(result.search_key, result.candidate_scores, result.trials, dict.fromkeys(names, origin))


@cache
def _first() -> TrainingResult:
    return train_cohort(_table(), _spec(BEFORE))


def _same(one: TrainingResult, other: TrainingResult) -> bool:
    frames = ("out_of_fold", "candidate_scores", "holdout_scores")
    written = readable_json(one.to_json()) == readable_json(other.to_json())
    return (
        written
        and one.digest == other.digest
        and all(getattr(one, name).equals(getattr(other, name)) for name in frames)
    )


@pytest.mark.parametrize("classes", [("no", "yes"), CLASSES], ids=["two classes", "three classes"])
def test_other_costs_give_what_a_full_training_gives_without_a_search(
    classes: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    table = _table(len(classes))
    first = train_cohort(table, _spec(BEFORE, classes=classes))
    full = train_cohort(table, _spec(AFTER, classes=classes))
    assert full.digest != first.digest
    # A search of the final model alone is due where another candidate wins.
    same_winner = full.selected == first.selected
    tune = search.tune
    monkeypatch.setattr(search, "tune", lambda *_, **__: pytest.fail("a search was made again"))
    if not same_winner:
        monkeypatch.setattr("clinical_assets.modelling.search.fitting.tune", tune)
    again = train_cohort(table, _spec(AFTER, classes=classes), kept=_kept(first))
    assert _same(again, full)
    assert again.taken_over == NAMES


def test_another_winner_is_searched_for_and_fitted_alone() -> None:
    first = _first()
    others = first.trials.filter(~((pl.col("outer_fold") == FINAL) & (pl.col("candidate") == first.selected)))
    again = train_cohort(_table(), _spec(AFTER), kept=replace(_kept(first), trials=others))
    assert _same(again, train_cohort(_table(), _spec(AFTER)))


def test_a_new_candidate_is_fitted_beside_those_that_are_there() -> None:
    names = (*NAMES, "naive_bayes")
    again = train_cohort(_table(), _spec(AFTER, names=names), kept=_kept(_first()))
    assert again.taken_over == NAMES
    assert _same(again, train_cohort(_table(), _spec(AFTER, names=names)))


def test_other_rows_another_seed_and_other_software_are_fitted_anew() -> None:
    kept, table = _kept(_first()), _table()
    moved = table.frame.with_columns(x0=pl.col("x0") + 1e-9)
    assert train_cohort(replace(table, frame=moved), _spec(AFTER), kept=kept).taken_over == ()
    for changed in (make_spec(candidates=NAMES, trials=3, seed=12), make_spec(candidates=NAMES, trials=2)):
        assert train_cohort(table, changed, kept=kept).taken_over == ()
    assert train_cohort(table, _spec(AFTER), kept=kept, software="another").taken_over == ()


def test_parameters_of_every_kind_come_back_in_the_order_of_its_search() -> None:
    import optuna

    train, spec = as_input(made_up(60)), _spec(BEFORE)
    for name in KINDS:
        parameters = space(name, optuna.create_study().ask(), train.n)
        trial = search.Trial(name, FINAL, 0, "none", parameters, 0.5, (0.5,), 1.0)
        kept = KeptSearch("", pl.DataFrame(), trials_frame([search.Searched.of([trial])]), {})
        found = kept.final(name, train, spec.modelling)
        assert found is not None
        assert list(found.parameters.items()) == list(parameters.items())


def test_scores_that_lack_a_row_are_not_taken_over() -> None:
    kept = _kept(_first())
    again = train_cohort(_table(), _spec(AFTER), kept=replace(kept, scores=kept.scores[1:]))
    assert len(again.taken_over) == len(NAMES) - 1
