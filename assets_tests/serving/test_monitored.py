"""What the API answered is watched as batches are: brought in once, judged where training never saw it."""

from __future__ import annotations

import asyncio
from typing import Any

from assets_tests.serving.test_predictions import asked
from assets_tests.worlds.ward.api_server import record
from assets_tests.worlds.ward.released import Releasable
from assets_tests.worlds.ward.trained import COHORT
from clinical_assets.governance.privacy.erasure.erasure import erase
from clinical_assets.modelling.bundle.logged_scores import BroughtIn, bring_in
from clinical_assets.modelling.trainings.reference import relation_of
from clinical_assets.monitoring.drift import drift
from clinical_assets.monitoring.quality import quality_report
from clinical_assets.monitoring.windows import drift_relation, matured_records, newest_batches, references
from clinical_assets.serving.follow_up import ActionFact, ActionsBody, OutcomeFact, OutcomesBody
from clinical_assets.serving.service import PredictionService
from clinical_assets.warehouse.store.warehouse import Warehouse
from clinical_assets.workspace import Workspace

PEOPLE = ("P1", "P2", "P3")
TRAINED = "W00007"  # among the rows that the model was made from


def answered(service: PredictionService, *names: str) -> dict[str, str]:
    """Predictions of people, by name."""
    predictions = service.cohort(COHORT).predictions

    async def ask() -> dict[str, str]:
        found: dict[str, str] = {}
        for number, name in enumerate(names):
            answer = await predictions.answer(asked([record(patient_id=name, marker_a=number - 1.0)]))
            found[name] = answer.units[0].receipt.name
        return found

    return asyncio.run(ask())


def told(service: PredictionService, named: dict[str, str]) -> None:
    """What came of them, and that the first was shown and acted upon."""
    outcomes = [OutcomeFact(prediction=each, outcome="dead") for each in named.values()]
    first = next(iter(named.values()))

    async def send() -> None:
        await service.record(COHORT, OutcomesBody(outcomes=outcomes), request="r", key="k")
        done = ActionFact(prediction=first, shown=True, acted=True)
        await service.record(COHORT, ActionsBody(actions=[done]), request="r", key="k")

    asyncio.run(send())


def test_answers_outcomes_and_actions_are_brought_in_once_and_read_with_batches(
    service: PredictionService, workspace: Workspace, released: Releasable
) -> None:
    spec, warehouse = workspace.spec(COHORT), Warehouse(COHORT, released.settings)
    bundle = service.keeper.current(COHORT).bundle
    named = answered(service, *PEOPLE, TRAINED)
    assert bring_in(warehouse, spec, references=references) == BroughtIn(4, 0, 0, 4)
    told(service, named)
    assert bring_in(warehouse, spec, references=references) == BroughtIn(0, 4, 1, 9)
    assert bring_in(warehouse, spec, references=references) == BroughtIn(0, 0, 0, 9)

    with warehouse.reader() as connection:
        rows = matured_records(connection, spec, bundle_digest=bundle.digest)
        assert rows is not None
        # Training has seen one of the four.
        assert rows.height == len(PEOPLE)
        assert rows["outcome"].to_list() == [1, 1, 1]
        assert sorted(rows["acted"].to_list(), key=str) == [None, None, True]
        assert rows["risk"].to_list() == bundle.score(rows).tolist()
        assert set(rows["protected_sex"]) == {"f"}
        window = newest_batches(connection, spec, bundle_digest=bundle.digest, at_least=1)
        assert window is not None
        assert (window.rows, window.batches[0][:4]) == (4, "api:")
        names = bundle.feature_columns
        relation = drift_relation(connection, spec, window, bundle_digest=bundle.digest, features=names)
        report: Any = drift.drift_report(
            relation_of(bundle.digest),
            relation,
            features=names,
            importance=None,
            limits=spec.monitoring,
            connection=connection,
        )
        assert report.n_batch == 4
        assert quality_report(connection, spec, bundle, window).n == 4

    erase(workspace.cohort(COHORT), "P2", reason="Request 9.")
    with warehouse.reader() as connection:
        rows = matured_records(connection, spec, bundle_digest=bundle.digest)
        assert rows is not None
        assert rows.height == len(PEOPLE) - 1
