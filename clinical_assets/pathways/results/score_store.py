"""Ready-made scores as a file: one Parquet file, whole or not there, with the digest of its content.

What belongs here: keeping them as they came. What does not: scores that were made here (``expression_store``).
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np

from clinical_assets.foundation.canonical import facts_digest
from clinical_assets.foundation.stored_format import StoredDocument
from clinical_assets.pathways.expression.gene_sets import Provenance
from clinical_assets.pathways.results.expression_store import read_stage, write_stage
from clinical_assets.pathways.results.kept_results import KeptError, StoredResult
from clinical_assets.pathways.study.designs import ReadyScores

READY = "ready_scores.parquet"


class ReadyFacts(StoredDocument):
    """What is no table of ready-made scores; fields as in `ReadyScores`."""

    subjects: tuple[str, ...]
    features: tuple[str, ...]
    labels: tuple[str | None, ...]
    kind: Literal["ternary", "real"]
    source: Provenance
    synthetic: bool


def keep_ready(folder: Path, ready: ReadyScores) -> StoredResult:
    """Write ready-made scores, one row per subject and pathway."""
    import polars as pl

    facts = ReadyFacts(
        subjects=ready.subjects,
        features=ready.features,
        labels=ready.labels,
        kind=ready.kind,
        source=ready.source,
        synthetic=ready.synthetic,
    )
    n, features = ready.values.shape
    frame = pl.DataFrame(
        {
            "subject": np.repeat(np.array(ready.subjects), features),
            "pathway": np.tile(np.array(ready.features), n),
            "score": ready.values.ravel(),
        }
    )
    return write_stage(folder / READY, frame, facts, facts_digest(facts.to_json(), ready.values))


def read_ready(folder: Path) -> tuple[ReadyScores, str]:
    """The scores that were written last, and their digest.

    Raises
    ------
    KeptError
        They are not there, or cannot be understood.
    """
    frame, facts, digest = read_stage(folder / READY, ReadyFacts, asset="paired_expression")
    shape = (len(facts.subjects), len(facts.features))
    if frame.height != shape[0] * shape[1]:
        raise KeptError(f"{READY} does not hold a score per subject and pathway", cure="materialise paired_expression")
    ready = ReadyScores(
        subjects=facts.subjects,
        features=facts.features,
        values=frame["score"].to_numpy().reshape(shape),
        labels=facts.labels,
        kind=facts.kind,
        source=facts.source,
        synthetic=facts.synthetic,
    )
    return ready, digest
