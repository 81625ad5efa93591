"""Paired expression, gene sets and scores as files: one Parquet file each, whole or not there.

What belongs here: writing a stage's result so that the next stage, or a reader, has the same object again. What is no
table (statements, sizes, provenance) lies as JSON in the file's metadata, so that nothing can come apart.

A file carries the digest of its content and of what it was made from; a stage refuses a file made from other data.
"""

from __future__ import annotations

import base64
import io
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import SerializeAsAny

from clinical_assets.foundation.atomic_files import PRIVATE, write_whole
from clinical_assets.foundation.canonical import facts_digest
from clinical_assets.foundation.stored_format import BadDocument, StoredDocument, VersionedDocument
from clinical_assets.pathways.expression.gene_names import IdentifierKind
from clinical_assets.pathways.expression.gene_sets import MeasuredGeneSets, Provenance
from clinical_assets.pathways.expression.pairing import PairedExpression, RefusedSubject
from clinical_assets.pathways.results.kept_results import KeptError, StoredResult
from clinical_assets.pathways.scores.scores import PathwayScores

if TYPE_CHECKING:
    import polars as pl

EXPRESSION, GENE_SETS, SCORES = "paired_expression.parquet", "gene_sets.parquet", "pathway_scores.parquet"
LEFT_OUT = "gene_sets_left_out.csv"
#: Under which name a file carries what is no table.
CARRIED = "clinical_assets"


class ExpressionFacts(StoredDocument):
    """What is no table of paired expression; fields as in `PairedExpression`.

    Attributes
    ----------
    covariates : str
        Arrow IPC, base64.
    library_sizes, factors : tuple
        Rows of two numbers; null for NaN.
    """

    subjects: tuple[str, ...]
    genes: tuple[str, ...]
    conditions: tuple[str, str]
    labels: tuple[str | None, ...]
    covariates: str
    batches: tuple[tuple[str | None, str | None], ...]
    refused: tuple[RefusedSubject, ...]
    library_sizes: tuple[tuple[float | None, ...], ...]
    factors: tuple[tuple[float | None, ...], ...] | None
    identifier_kind: IdentifierKind
    statements: tuple[str, ...]
    source: Provenance
    synthetic: bool
    doubtful: tuple[RefusedSubject, ...] = ()


class GeneSetFacts(StoredDocument):
    """What is no table of measured gene sets; fields as in `MeasuredGeneSets`.

    Attributes
    ----------
    expression : str
        Digest of the paired expression that they were fitted to; not part of their own digest.
    """

    names: tuple[str, ...]
    descriptions: tuple[str, ...]
    genes: tuple[str, ...]
    collapsed: tuple[tuple[str, tuple[str, ...]], ...]
    too_small: tuple[str, ...]
    too_large: tuple[str, ...]
    min_size: int
    max_size: int
    source: Provenance
    expression: str = ""


class ScoreFacts(StoredDocument):
    """What is no table of pathway scores; fields as in `PathwayScores`.

    Attributes
    ----------
    expression, gene_sets : str
        Digests of what they were made from; not part of their own digest.
    """

    subjects: tuple[str, ...]
    names: tuple[str, ...]
    alpha: int | float
    decided_on: Literal["p", "fdr"]
    method: str
    statement: str
    synthetic: bool
    expression: str = ""
    gene_sets: str = ""


_Facts = TypeVar("_Facts", bound=StoredDocument)


class StageMetadata(VersionedDocument, Generic[_Facts]):
    """What a stage's Parquet file carries beside its table.

    Attributes
    ----------
    digest : str
        Of facts and table.
    """

    digest: str
    facts: SerializeAsAny[_Facts]


def keep_expression(folder: Path, paired: PairedExpression) -> StoredResult:
    """Write paired expression: one row per subject and gene."""
    import polars as pl

    covariates = io.BytesIO()
    paired.covariates.write_ipc(covariates)
    facts = ExpressionFacts(
        subjects=paired.subjects,
        genes=paired.genes,
        conditions=paired.conditions,
        labels=paired.labels,
        covariates=base64.b64encode(covariates.getvalue()).decode(),
        batches=paired.batches,
        refused=paired.refused,
        library_sizes=_numbers(paired.library_sizes),
        factors=None if paired.factors is None else _numbers(paired.factors),
        identifier_kind=paired.identifier_kind,
        statements=paired.statements,
        source=paired.source,
        synthetic=paired.synthetic,
        # Only where there is one: the digests of cohorts without a doubt stay what they were.
        **({"doubtful": paired.doubtful} if paired.doubtful else {}),
    )
    digest = facts_digest(facts.to_json(), paired.control, paired.affected)
    n, genes = paired.control.shape
    frame = pl.DataFrame(
        {
            "subject": np.repeat(np.array(paired.subjects), genes),
            "gene": np.tile(np.array(paired.genes), n),
            "control_log2": paired.control.ravel(),
            "affected_log2": paired.affected.ravel(),
        }
    )
    return write_stage(folder / EXPRESSION, frame, facts, digest)


def read_kept_expression(folder: Path) -> tuple[PairedExpression, str]:
    """The paired expression that was written last, and its digest."""
    import polars as pl

    frame, facts, digest = read_stage(folder / EXPRESSION, ExpressionFacts, asset="paired_expression")
    shape = (len(facts.subjects), len(facts.genes))
    if frame.height != shape[0] * shape[1]:
        raise KeptError(
            f"{EXPRESSION} holds {frame.height:,} rows for {shape[0]} subjects and {shape[1]:,} genes",
            cure="materialise paired_expression again",
        )
    paired = PairedExpression(
        subjects=facts.subjects,
        genes=facts.genes,
        control=frame["control_log2"].to_numpy().reshape(shape),
        affected=frame["affected_log2"].to_numpy().reshape(shape),
        conditions=facts.conditions,
        labels=facts.labels,
        covariates=pl.read_ipc(io.BytesIO(base64.b64decode(facts.covariates))),
        batches=facts.batches,
        refused=facts.refused,
        library_sizes=_array(facts.library_sizes),
        factors=None if facts.factors is None else _array(facts.factors),
        identifier_kind=facts.identifier_kind,
        statements=facts.statements,
        source=facts.source,
        synthetic=facts.synthetic,
        doubtful=facts.doubtful,
    )
    return paired, digest


def keep_gene_sets(folder: Path, sets: MeasuredGeneSets, *, expression: str) -> StoredResult:
    """Write measured gene sets, one row per set, with the digest of the `expression` they were fitted to."""
    import polars as pl

    facts = GeneSetFacts(
        names=sets.names,
        descriptions=sets.descriptions,
        genes=sets.genes,
        collapsed=sets.collapsed,
        too_small=sets.too_small,
        too_large=sets.too_large,
        min_size=sets.min_size,
        max_size=sets.max_size,
        source=sets.source,
    )
    digest = facts_digest(facts.to_json(), sets.sizes, np.concatenate(sets.positions))
    facts = facts.model_copy(update={"expression": expression})
    genes = np.array(sets.genes)
    frame = pl.DataFrame(
        {
            "gene_set": sets.names,
            "description": sets.descriptions,
            "measured_genes": sets.sizes,
            "position": [p.tolist() for p in sets.positions],
            "gene": [genes[p].tolist() for p in sets.positions],
        }
    )
    return write_stage(folder / GENE_SETS, frame, facts, digest)


def read_kept_gene_sets(folder: Path, *, expression: str) -> tuple[MeasuredGeneSets, str]:
    """The gene sets that were written last, and their digest; refused if fitted to other expression."""
    frame, facts, digest = read_stage(folder / GENE_SETS, GeneSetFacts, asset="gene_sets")
    _same(facts.expression, expression, what="gene_sets", made_from="paired_expression")
    sets = MeasuredGeneSets(
        names=facts.names,
        descriptions=facts.descriptions,
        positions=tuple(np.array(p, dtype=np.int64) for p in frame["position"].to_list()),
        genes=facts.genes,
        collapsed=facts.collapsed,
        too_small=facts.too_small,
        too_large=facts.too_large,
        min_size=facts.min_size,
        max_size=facts.max_size,
        source=facts.source,
    )
    return sets, digest


def keep_left_out(folder: Path, sets: MeasuredGeneSets) -> Path:
    """Write every set that was left out: its name, why, and for an identical one the set that stands for it."""
    import polars as pl

    rows: list[tuple[str, str, str | None]] = [(name, "too small", None) for name in sets.too_small]
    rows += [(name, "too large", None) for name in sets.too_large]
    rows += [(other, "identical", name) for name, others in sets.collapsed for other in others]
    frame = pl.DataFrame(
        rows, schema={"gene_set": pl.String, "reason": pl.String, "identical_to": pl.String}, orient="row"
    )
    write_whole(folder / LEFT_OUT, frame.write_csv(), mode=PRIVATE)
    return folder / LEFT_OUT


_PER_SCORE = ("statistic", "p_value", "fdr", "median_effect", "score", "n_used")


def keep_scores(folder: Path, scores: PathwayScores, *, expression: str, gene_sets: str) -> StoredResult:
    """Write pathway scores, one row per subject and gene set, with the digests of what they were made from."""
    import polars as pl

    facts = ScoreFacts(
        subjects=scores.subjects,
        names=scores.names,
        alpha=scores.alpha,
        decided_on=scores.decided_on,
        method=scores.method,
        statement=scores.statement,
        synthetic=scores.synthetic,
    )
    arrays = {name: getattr(scores, name) for name in _PER_SCORE}
    digest = facts_digest(facts.to_json(), *arrays.values())
    facts = facts.model_copy(update={"expression": expression, "gene_sets": gene_sets})
    n, sets = scores.score.shape
    frame = pl.DataFrame(
        {
            "subject": np.repeat(np.array(scores.subjects), sets),
            "gene_set": np.tile(np.array(scores.names), n),
            **{name: array.ravel() for name, array in arrays.items()},
        }
    )
    return write_stage(folder / SCORES, frame, facts, digest)


def read_kept_scores(folder: Path, *, expression: str, gene_sets: str) -> tuple[PathwayScores, str]:
    """The scores that were written last, and their digest; refused if made from other expression or sets."""
    frame, facts, digest = read_stage(folder / SCORES, ScoreFacts, asset="pathway_scores")
    _same(facts.expression, expression, what="pathway_scores", made_from="paired_expression")
    _same(facts.gene_sets, gene_sets, what="pathway_scores", made_from="gene_sets")
    shape = (len(facts.subjects), len(facts.names))
    arrays: dict[str, Any] = {name: frame[name].to_numpy().reshape(shape) for name in _PER_SCORE}
    scores = PathwayScores(
        subjects=facts.subjects,
        names=facts.names,
        alpha=facts.alpha,
        decided_on=facts.decided_on,
        method=facts.method,
        statement=facts.statement,
        synthetic=facts.synthetic,
        **arrays,
    )
    return scores, digest


def _same(found: str, wanted: str, *, what: str, made_from: str) -> None:
    if found != wanted:
        raise KeptError(
            f"{what} was made from another {made_from} ({found[:19]}..., now {wanted[:19]}...)",
            cure=f"materialise {what} again",
        )


def write_stage(path: Path, frame: pl.DataFrame, facts: StoredDocument, digest: str) -> StoredResult:
    """Write a stage's table with its facts and the digest of both."""
    buffer = io.BytesIO()
    about = StageMetadata[StoredDocument](digest=digest, facts=facts).to_json()
    frame.write_parquet(buffer, metadata={CARRIED: json.dumps(about, ensure_ascii=False)})
    write_whole(path, buffer.getvalue(), mode=PRIVATE)
    return StoredResult(path, digest)


def read_stage(path: Path, facts: type[_Facts], *, asset: str) -> tuple[pl.DataFrame, _Facts, str]:
    """A stage's table, its facts and its digest; raises `KeptError` where it is missing or cannot be understood."""
    import polars as pl

    if not path.is_file():
        raise KeptError(f"{path.name} is not there yet", cure=f"materialise {asset}")
    try:
        stored = json.loads(pl.read_parquet_metadata(path)[CARRIED])
        about = StageMetadata[facts].of(stored, where=path.name)  # type: ignore[valid-type]
        return pl.read_parquet(path), about.facts, about.digest
    except (pl.exceptions.PolarsError, BadDocument, KeyError, ValueError) as error:
        raise KeptError(f"{path.name} cannot be understood: {error}", cure=f"materialise {asset} again") from error


def _numbers(array: NDArray[np.float64]) -> tuple[tuple[float | None, ...], ...]:
    """Rows of an (n, 2) array; NaN, which JSON lacks, becomes None."""
    return tuple(tuple(None if np.isnan(v) else float(v) for v in row) for row in array)


def _array(rows: tuple[tuple[float | None, ...], ...]) -> NDArray[np.float64]:
    return np.array(rows, dtype=np.float64)
