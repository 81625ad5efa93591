"""The server says the class that a batch would say: of three, the one that costs least, likely or not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from assets_tests.worlds.ward.three_classes import three_class_bundle
from assets_tests.worlds.ward.trained import COHORT, shared_ward
from clinical_assets.modelling.bundle.record_scoring import RecordScorer, TableRows
from clinical_assets.serving.scoring.champion_scorer import ChampionScorer
from clinical_assets.serving.scoring.labels import FeatureLabel
from clinical_assets.warehouse.store.warehouse import Warehouse


def test_the_class_said_is_the_one_decided_by_expected_cost(
    tmp_path_factory: pytest.TempPathFactory, tmp_path: Path
) -> None:
    ward = shared_ward(tmp_path_factory)
    warehouse, spec = Warehouse(COHORT, ward.settings), ward.catalogue.spec(COHORT)
    costs = ((0, 1, 2), (9, 0, 1), (20, 5, 0))
    bundle = three_class_bundle(ward.training.bundle(), warehouse, tmp_path / "bundle", costs=costs)
    few = (
        "SELECT * FROM validated.{} WHERE patient_id IN (SELECT patient_id FROM validated.subjects ORDER BY 1 LIMIT 60)"
    )
    records = {table: warehouse.query(few.format(table)) for table in spec.tables}
    with RecordScorer(spec, bundle) as scorer:
        frame = scorer.score(records).frame
    labels = {name: FeatureLabel(name, None) for name in bundle.feature_columns}
    served = ChampionScorer(spec, bundle, labels=labels)
    said = served.score({name: TableRows(tuple(rows.columns), rows.rows()) for name, rows in records.items()})
    served.close()
    decided = dict(zip(frame["patient_id"].to_list(), frame["decided_class"].to_list(), strict=True))
    assert {key[0]: score.predicted for key, score in said.items()} == decided
    scored = bundle.score(frame)
    for place, name in enumerate(frame["patient_id"]):
        told = said[(name,)].probabilities
        assert told is not None
        assert list(told) == list(bundle.classes)
        np.testing.assert_array_equal(list(told.values()), scored[place])
        assert sum(list(told.values())[bundle.description.action_from :]) == pytest.approx(said[(name,)].risk)
    likeliest = [bundle.classes[k] for k in np.argmax(bundle.score(frame), axis=1)]
    assert likeliest != frame["decided_class"].to_list()
