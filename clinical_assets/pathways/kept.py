"""Paired expression, gene sets and scores as files: one Parquet file each, whole or not there.

What belongs here: writing a stage's result so that the next stage, or a reader, has the same object again. What is no
table (statements, sizes, provenance) lies as JSON in the file's metadata, so that nothing can come apart.

A file carries the digest of its content and of what it was made from; a stage refuses a file made from other data.
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from clinical_assets.errors import ClinicalAssetsError
from clinical_assets.pathways.gene_sets import MeasuredGeneSets, Provenance
from clinical_assets.pathways.pairing import PairedExpression, RefusedSubject
from clinical_assets.pathways.scores import PathwayScores
from clinical_assets.whole_files import PRIVATE, write_whole

if TYPE_CHECKING:
    import polars as pl

EXPRESSION, GENE_SETS, SCORES = "paired_expression.parquet", "gene_sets.parquet", "pathway_scores.parquet"
LEFT_OUT = "gene_sets_left_out.csv"
_KEY = "clinical_assets"


class KeptError(ClinicalAssetsError):
    """A stage's file that is missing, damaged, or made from other data."""


@dataclass(frozen=True)
class Kept:
    """Where a result lies and what its content is called."""

    path: Path
    digest: str


def digest_of(facts: Mapping[str, Any], *arrays: NDArray[Any]) -> str:
    """``sha256:...`` of plain values and arrays; the same on every machine."""
    total = hashlib.sha256(json.dumps(facts, sort_keys=True, ensure_ascii=False).encode())
    for array in arrays:
        little = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))
        total.update(f"{little.dtype.str}{little.shape}".encode())
        total.update(little.tobytes())
    return f"sha256:{total.hexdigest()}"


def keep_expression(folder: Path, paired: PairedExpression) -> Kept:
    """Write paired expression: one row per subject and gene."""
    import polars as pl

    covariates = io.BytesIO()
    paired.covariates.write_ipc(covariates)
    facts: dict[str, Any] = {
        "subjects": list(paired.subjects),
        "genes": list(paired.genes),
        "conditions": list(paired.conditions),
        "labels": list(paired.labels),
        "covariates": base64.b64encode(covariates.getvalue()).decode(),
        "batches": [list(pair) for pair in paired.batches],
        "refused": [asdict(one) for one in paired.refused],
        "library_sizes": _numbers(paired.library_sizes),
        "factors": None if paired.factors is None else _numbers(paired.factors),
        "identifier_kind": paired.identifier_kind,
        "statements": list(paired.statements),
        "source": asdict(paired.source),
        "synthetic": paired.synthetic,
    }
    digest = digest_of(facts, paired.control, paired.affected)
    n, genes = paired.control.shape
    frame = pl.DataFrame(
        {
            "subject": np.repeat(np.array(paired.subjects), genes),
            "gene": np.tile(np.array(paired.genes), n),
            "control_log2": paired.control.ravel(),
            "affected_log2": paired.affected.ravel(),
        }
    )
    return _write(folder / EXPRESSION, frame, facts, digest)


def read_kept_expression(folder: Path) -> tuple[PairedExpression, str]:
    """The paired expression that was written last, and its digest."""
    import polars as pl

    frame, facts, digest = _read(folder / EXPRESSION, asset="paired_expression")
    shape = (len(facts["subjects"]), len(facts["genes"]))
    if frame.height != shape[0] * shape[1]:
        raise KeptError(
            f"{EXPRESSION} holds {frame.height:,} rows for {shape[0]} subjects and {shape[1]:,} genes",
            cure="materialise paired_expression again",
        )
    paired = PairedExpression(
        subjects=tuple(facts["subjects"]),
        genes=tuple(facts["genes"]),
        control=frame["control_log2"].to_numpy().reshape(shape),
        affected=frame["affected_log2"].to_numpy().reshape(shape),
        conditions=(facts["conditions"][0], facts["conditions"][1]),
        labels=tuple(facts["labels"]),
        covariates=pl.read_ipc(io.BytesIO(base64.b64decode(facts["covariates"]))),
        batches=tuple((a, b) for a, b in facts["batches"]),
        refused=tuple(RefusedSubject(**one) for one in facts["refused"]),
        library_sizes=_array(facts["library_sizes"]),
        factors=None if facts["factors"] is None else _array(facts["factors"]),
        identifier_kind=facts["identifier_kind"],
        statements=tuple(facts["statements"]),
        source=Provenance(**facts["source"]),
        synthetic=facts["synthetic"],
    )
    return paired, digest


def keep_gene_sets(folder: Path, sets: MeasuredGeneSets, *, expression: str) -> Kept:
    """Write measured gene sets, one row per set, with the digest of the `expression` they were fitted to."""
    import polars as pl

    facts: dict[str, Any] = {
        "names": list(sets.names),
        "descriptions": list(sets.descriptions),
        "genes": list(sets.genes),
        "collapsed": [[name, list(others)] for name, others in sets.collapsed],
        "too_small": list(sets.too_small),
        "too_large": list(sets.too_large),
        "min_size": sets.min_size,
        "max_size": sets.max_size,
        "source": asdict(sets.source),
    }
    digest = digest_of(facts, sets.sizes, np.concatenate(sets.positions))
    facts["expression"] = expression
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
    return _write(folder / GENE_SETS, frame, facts, digest)


def read_kept_gene_sets(folder: Path, *, expression: str) -> tuple[MeasuredGeneSets, str]:
    """The gene sets that were written last, and their digest; refused if fitted to other expression."""
    frame, facts, digest = _read(folder / GENE_SETS, asset="gene_sets")
    _same(facts["expression"], expression, what="gene_sets", made_from="paired_expression")
    sets = MeasuredGeneSets(
        names=tuple(facts["names"]),
        descriptions=tuple(facts["descriptions"]),
        positions=tuple(np.array(p, dtype=np.int64) for p in frame["position"].to_list()),
        genes=tuple(facts["genes"]),
        collapsed=tuple((name, tuple(others)) for name, others in facts["collapsed"]),
        too_small=tuple(facts["too_small"]),
        too_large=tuple(facts["too_large"]),
        min_size=facts["min_size"],
        max_size=facts["max_size"],
        source=Provenance(**facts["source"]),
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


def keep_scores(folder: Path, scores: PathwayScores, *, expression: str, gene_sets: str) -> Kept:
    """Write pathway scores, one row per subject and gene set, with the digests of what they were made from."""
    import polars as pl

    facts: dict[str, Any] = {
        "subjects": list(scores.subjects),
        "names": list(scores.names),
        "alpha": scores.alpha,
        "decided_on": scores.decided_on,
        "method": scores.method,
        "statement": scores.statement,
        "synthetic": scores.synthetic,
    }
    arrays = {name: getattr(scores, name) for name in _PER_SCORE}
    digest = digest_of(facts, *arrays.values())
    facts |= {"expression": expression, "gene_sets": gene_sets}
    n, sets = scores.score.shape
    frame = pl.DataFrame(
        {
            "subject": np.repeat(np.array(scores.subjects), sets),
            "gene_set": np.tile(np.array(scores.names), n),
            **{name: array.ravel() for name, array in arrays.items()},
        }
    )
    return _write(folder / SCORES, frame, facts, digest)


def read_kept_scores(folder: Path, *, expression: str, gene_sets: str) -> tuple[PathwayScores, str]:
    """The scores that were written last, and their digest; refused if made from other expression or sets."""
    frame, facts, digest = _read(folder / SCORES, asset="pathway_scores")
    _same(facts.pop("expression"), expression, what="pathway_scores", made_from="paired_expression")
    _same(facts.pop("gene_sets"), gene_sets, what="pathway_scores", made_from="gene_sets")
    shape = (len(facts["subjects"]), len(facts["names"]))
    arrays: dict[str, Any] = {name: frame[name].to_numpy().reshape(shape) for name in _PER_SCORE}
    facts |= {"subjects": tuple(facts["subjects"]), "names": tuple(facts["names"])}
    return PathwayScores(**facts, **arrays), digest


def _same(found: str, wanted: str, *, what: str, made_from: str) -> None:
    if found != wanted:
        raise KeptError(
            f"{what} was made from another {made_from} ({found[:19]}..., now {wanted[:19]}...)",
            cure=f"materialise {what} again",
        )


def _write(path: Path, frame: pl.DataFrame, facts: Mapping[str, Any], digest: str) -> Kept:
    buffer = io.BytesIO()
    said = json.dumps({"digest": digest, "facts": facts}, ensure_ascii=False)
    frame.write_parquet(buffer, metadata={_KEY: said})
    write_whole(path, buffer.getvalue(), mode=PRIVATE)
    return Kept(path, digest)


def _read(path: Path, *, asset: str) -> tuple[pl.DataFrame, dict[str, Any], str]:
    import polars as pl

    if not path.is_file():
        raise KeptError(f"{path.name} is not there yet", cure=f"materialise {asset}")
    try:
        said = json.loads(pl.read_parquet_metadata(path)[_KEY])
        return pl.read_parquet(path), said["facts"], said["digest"]
    except (pl.exceptions.PolarsError, KeyError, ValueError) as error:
        raise KeptError(f"{path.name} cannot be understood: {error}", cure=f"materialise {asset} again") from error


def _numbers(array: NDArray[np.float64]) -> list[list[float | None]]:
    """Rows of an (n, 2) array; NaN, which JSON lacks, becomes None."""
    return [[None if np.isnan(v) else float(v) for v in row] for row in array]


def _array(rows: list[list[float | None]]) -> NDArray[np.float64]:
    return np.array(rows, dtype=np.float64)
