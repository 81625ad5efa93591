"""Documents of version 1, read and written again through their types, keep their bytes, but for the version."""

from __future__ import annotations

import json
from pathlib import Path

import polars as pl
import pytest

from clinical_assets.foundation.canonical import readable_json
from clinical_assets.foundation.stored_format import FIELD, VersionedDocument
from clinical_assets.governance.dossier.folder import DossierManifest
from clinical_assets.modelling.champion.champion_pointer import Champion
from clinical_assets.modelling.description.training_results import TrainingResults
from clinical_assets.modelling.trainings.trainings import LatestTraining
from clinical_assets.monitoring.report_type import StoredReport
from clinical_assets.pathways.results.expression_store import (
    CARRIED,
    EXPRESSION,
    GENE_SETS,
    SCORES,
    keep_expression,
    keep_gene_sets,
    keep_scores,
    read_kept_expression,
    read_kept_gene_sets,
    read_kept_scores,
)
from clinical_assets.warehouse.snapshots.snapshot_files import SnapshotManifest

DOCUMENTS: dict[str, type[VersionedDocument]] = {
    "serving/*/champion.json": Champion,
    "models/*/latest.json": LatestTraining,
    "reports/*/*/*.json": StoredReport,
    "models/*/*/report/results.json": TrainingResults,
    "snapshots/*/*/*.json": SnapshotManifest,
    "dossiers/*/*/manifest.json": DossierManifest,
}


#: Written with sorted keys, because their bytes are compared.
SORTED = ("dossiers/*/*/manifest.json",)


@pytest.mark.parametrize("pattern", DOCUMENTS)
def test_a_document_is_written_again_as_it_was(unpacked: Path, pattern: str) -> None:
    found = sorted((unpacked / "data").glob(pattern))
    assert found
    for path in found:
        content = json.loads(path.read_text(encoding="utf-8"))
        again = DOCUMENTS[pattern].read(path).to_json()
        in_order = pattern in SORTED
        assert readable_json(again, sort_keys=in_order) == readable_json({FIELD: 1, **content}, sort_keys=in_order)


def test_the_files_of_the_stages_are_written_again_as_they_were(unpacked: Path, tmp_path: Path) -> None:
    (files,) = (unpacked / "data" / "micro_cohorts").iterdir()
    paired, expression = read_kept_expression(files)
    sets, gene_sets = read_kept_gene_sets(files, expression=expression)
    scores, digest = read_kept_scores(files, expression=expression, gene_sets=gene_sets)
    assert keep_expression(tmp_path, paired).digest == expression
    assert keep_gene_sets(tmp_path, sets, expression=expression).digest == gene_sets
    assert keep_scores(tmp_path, scores, expression=expression, gene_sets=gene_sets).digest == digest
    for name in (EXPRESSION, GENE_SETS, SCORES):
        before, now = (json.loads(pl.read_parquet_metadata(each / name)[CARRIED]) for each in (files, tmp_path))
        assert json.dumps(now) == json.dumps({FIELD: 1, **before})
