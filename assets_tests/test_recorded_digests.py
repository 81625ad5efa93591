"""Digests that trainings, ledgers and dossiers recorded long ago come out again, whatever became of the code."""

from __future__ import annotations

from types import SimpleNamespace

import polars as pl

from clinical_assets.governance.dossier import folder as dossier_folder
from clinical_assets.modelling.evaluation.result import TrainingResult
from clinical_assets.records.ledger.entries import GENESIS, entry_hash


def test_a_training_keeps_its_digest() -> None:
    frame = pl.DataFrame({"k": [1, 2], "risk": [0.25, None]})
    result = SimpleNamespace(
        to_json=lambda: {"n": 3, "é": [1.5]},
        out_of_fold=frame,
        holdout_scores=frame.head(1),
        trials=frame.with_columns(seconds=pl.lit(1.0)),
    )
    digest = TrainingResult.digest.func(result)
    assert digest == "sha256:7cbb4d7a3be0e41a146d1fa9067951abec7926d5293513b33fec578910c68283"


def test_an_entry_of_the_ledger_keeps_its_hash() -> None:
    found = entry_hash(
        previous=GENESIS,
        seq=1,
        at="2026-01-01T00:00:00Z",
        actor="é",
        action="x",
        cohort=None,
        digest=None,
        reason="\ud800",
        facts='{"a":1}',
    )
    assert found == "sha256:ff471706fddc07db29ba0fe78809fe2dc1e5c6abc09d205b09d4310373054c04"


def test_a_dossier_keeps_its_digest() -> None:
    found = dossier_folder.digest_of({"b": b"x", "a": b""})
    assert found == "sha256:64706fca48f463f0984b727e478c6234c4b308821d243c0fd0df4d5586a89e02"
