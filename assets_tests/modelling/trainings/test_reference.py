"""The rows behind a model are kept under its digest and read back as they were."""

from __future__ import annotations

import pytest

from assets_tests.worlds.ward.served import Served
from clinical_assets.modelling.trainings.reference import ReferenceMissing, read_reference, relation_of


def test_every_row_of_the_training_is_there_once_with_its_part(served: Served) -> None:
    with served.warehouse.reader() as connection:
        rows = read_reference(connection, served.bundle.digest)
        train = read_reference(connection, served.bundle.digest, part="train")
    judged = {part: served.trained.training.results.plain()[part]["n"] for part in ("train", "holdout")}
    assert rows.height == rows["patient_id"].n_unique() == sum(judged.values())
    assert train.height == judged["train"]
    assert set(rows["part"]) == {"train", "holdout"}
    assert {"outcome", "risk", "protected_sex", *served.bundle.feature_columns} <= set(rows.columns)


def test_holdout_risks_are_those_that_the_bundle_serves(served: Served) -> None:
    with served.warehouse.reader() as connection:
        held = read_reference(connection, served.bundle.digest, part="holdout")
    assert served.bundle.score(held).tolist() == held["risk"].to_list()


def test_a_model_from_elsewhere_has_no_rows_here(served: Served) -> None:
    with served.warehouse.reader() as connection, pytest.raises(ReferenceMissing, match="holds no rows"):
        read_reference(connection, "sha256:" + "0" * 64)


def test_the_relation_is_named_by_the_first_digits_of_the_digest() -> None:
    assert relation_of("sha256:0123456789abcdef0000") == 'reference."0123456789abcdef"'
