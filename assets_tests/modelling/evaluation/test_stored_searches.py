"""Searches lie in the cohort's own file, and are taken over only while their tables are what the training wrote."""

from __future__ import annotations

from pathlib import Path

import pytest

from assets_tests.worlds.tables.training import made_up, make_spec
from assets_tests.worlds.ward.trained import settings_of
from clinical_assets.modelling.evaluation.kept_search import Origin
from clinical_assets.modelling.evaluation.stored_searches import read_searches, write_searches
from clinical_assets.modelling.evaluation.training import train_cohort
from clinical_assets.modelling.trainings.make_bundle import software
from clinical_assets.warehouse.store.warehouse import Warehouse

FIRST = Origin("sha256:first", "an earlier run")


@pytest.fixture(scope="module")
def warehouse(tmp_path_factory: pytest.TempPathFactory) -> Warehouse:
    spec = make_spec(candidates=("logistic_ridge", "naive_bayes"))
    result = train_cohort(made_up(200), spec, software=software(spec))
    made = Warehouse(spec.name, settings_of(tmp_path_factory.mktemp("data")))
    with made.writer() as connection:
        for name, frame in (("candidate_scores", result.candidate_scores), ("trials", result.trials)):
            connection.register("_kept", frame.to_arrow())
            connection.execute(f"CREATE TABLE model.{name} AS SELECT * FROM _kept")
            connection.unregister("_kept")
        write_searches(connection, result.search_key, dict.fromkeys(spec.modelling.candidates, FIRST))
    return made


def test_what_was_written_gives_the_same_training_at_other_costs(warehouse: Warehouse) -> None:
    kept = read_searches(warehouse)
    costs = {"false_positive": 2, "false_negative": 3}
    spec = make_spec(candidates=("logistic_ridge", "naive_bayes"), costs=costs)
    again = train_cohort(made_up(200), spec, software=software(spec), kept=kept)
    assert again.taken_over == ("logistic_ridge", "naive_bayes")
    assert again.digest == train_cohort(made_up(200), spec).digest
    assert kept is not None
    assert kept.origins["naive_bayes"] == FIRST


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE model.candidate_scores SET risk = 0.5 WHERE risk = (SELECT max(risk) FROM model.candidate_scores)",
        "DELETE FROM model.trials WHERE trial = 1",
        "UPDATE model.searches SET search_key = 'another' WHERE candidate = 'naive_bayes'",
        "DROP TABLE model.searches",
    ],
)
def test_nothing_is_taken_over_from_tables_that_were_changed(warehouse: Warehouse, change: str, tmp_path: Path) -> None:
    copy = Warehouse(warehouse.cohort, settings_of(tmp_path))
    copy.path.parent.mkdir(parents=True)
    copy.path.write_bytes(warehouse.path.read_bytes())
    assert read_searches(copy) is not None
    with copy.writer() as connection:
        connection.execute(change)
    assert read_searches(copy) is None
