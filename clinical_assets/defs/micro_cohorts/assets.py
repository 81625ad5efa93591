"""From two samples of each subject to scored pathways and one page per subject.

``paired_expression`` -> ``gene_sets`` -> ``pathway_scores``; what is studied with them is in ``study_assets``.

What belongs here: what Dagster needs to know. Pairing, scoring and drawing are the work of
``clinical_assets.pathways``.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import dagster as dg

from clinical_assets.defs.micro_cohorts.micro_cohort import (
    NO_SETS,
    MicroCohort,
    micro_cohort_asset,
    numbered,
    read_from,
    schema,
)
from clinical_assets.defs.shared import asset_metadata
from clinical_assets.defs.shared.cohort_asset import AssetResult

if TYPE_CHECKING:
    from clinical_assets.pathways.results.pages import PageFinding

_SHOWN = 25


@micro_cohort_asset(kinds={"polars", "parquet"})
def paired_expression(_: dg.AssetExecutionContext, cohort: MicroCohort) -> AssetResult:
    """Two log2 transcriptomes of every subject: one row per subject and gene, control and affected side by side.

    What was recognised in the matrix, filtered and normalised stands in the statements; subjects without two usable
    samples are left out and counted. The data version is a digest of all of it.
    """
    from clinical_assets.foundation.atomic_files import PRIVATE, write_whole
    from clinical_assets.pathways.inputs.study_inputs import open_expression
    from clinical_assets.pathways.results.expression_store import keep_expression
    from clinical_assets.pathways.results.figures import sample_picture

    if cohort.ready:
        return _ready_made(cohort)
    paired = open_expression(cohort.spec, cohort.path.parent, erased=cohort.erased)
    kept = keep_expression(cohort.folder, paired)
    picture = sample_picture(paired)
    write_whole(cohort.folder / "samples.png", picture, mode=PRIVATE)
    counted = {label: paired.labels.count(label) for label in sorted(set(paired.labels), key=str)}
    rows = [
        {"subject": asset_metadata.MASK, "gene": gene, "control_log2": float(low), "affected_log2": float(high)}
        for gene, low, high in zip(
            paired.genes[: asset_metadata.PREVIEW_ROWS], paired.control[0], paired.affected[0], strict=False
        )
    ]
    return AssetResult(
        kept.digest,
        {
            "dagster/row_count": paired.control.size,
            "dagster/column_schema": schema(
                subject=("VARCHAR", "subject of the sample sheet"),
                gene=("VARCHAR", f"identifier, kind {paired.identifier_kind}"),
                control_log2=("DOUBLE", f"sample {paired.conditions[0]!r} [log2]"),
                affected_log2=("DOUBLE", f"sample {paired.conditions[1]!r} [log2]"),
            ),
            "subjects": len(paired.subjects),
            "subjects left out": len(paired.refused),
            "doubtful pairs": len(paired.doubtful),
            "genes": len(paired.genes),
            "labels": ", ".join(f"{label or 'none'}: {count}" for label, count in counted.items()),
            "statements": dg.MetadataValue.md("\n".join(f"- {statement}" for statement in paired.statements)),
            "preview": rows,
            "all samples": picture,
            "file": kept.path,
            "read from": read_from(paired),
        },
    )


@micro_cohort_asset(deps=["paired_expression"], kinds={"parquet"})
def gene_sets(_: dg.AssetExecutionContext, cohort: MicroCohort) -> AssetResult:
    """Gene sets fitted to the measured genes: one row per set, with its measured genes.

    Sizes are counted on measured genes; sets that became identical are kept once and listed. The source is named by
    file, digest and version.
    """
    from clinical_assets.pathways.expression.gene_sets import genes_in_sets, measured_gene_sets
    from clinical_assets.pathways.inputs.study_inputs import open_gene_sets
    from clinical_assets.pathways.results.expression_store import keep_gene_sets, keep_left_out

    if cohort.ready:
        return AssetResult(NO_SETS, {"dagster/row_count": 0, "statement": cohort.ready_scores()[0].statement()})
    paired, expression = cohort.expression()
    spec = cohort.spec
    collection = open_gene_sets(spec, cohort.path.parent, identifiers=paired.identifier_kind)
    limits = {"min_size": spec.sizes.smallest, "max_size": spec.sizes.largest}
    sets = measured_gene_sets(collection, paired.genes, **limits)
    kept = keep_gene_sets(cohort.folder, sets, expression=expression)
    left_out = keep_left_out(cohort.folder, sets)
    rows = [
        {"gene set": name, "measured genes": int(size)}
        for name, size in zip(sets.names[: asset_metadata.PREVIEW_ROWS], sets.sizes, strict=False)
    ]
    collapsed = [{"kept": name, "identical": ", ".join(others)} for name, others in sets.collapsed[:_SHOWN]]
    return AssetResult(
        kept.digest,
        {
            "dagster/row_count": len(sets.names),
            "dagster/column_schema": schema(
                gene_set=("VARCHAR", "name in the source"),
                description=("VARCHAR", "description in the source"),
                measured_genes=("BIGINT", "measured genes in the set"),
                position=("BIGINT[]", "their places in the list of measured genes, from 0"),
                gene=("VARCHAR[]", "their identifiers"),
            ),
            "statement": " ".join([sets.statement(), *collection.remarks]),
            "too small": len(sets.too_small),
            "too large": len(sets.too_large),
            "identical to another set": sum(len(others) for _, others in sets.collapsed),
            "measured genes in a set": genes_in_sets(sets),
            "every set left out, and why": left_out,
            "preview": rows,
            "collapsed": collapsed,
            "source": json.dumps(asdict(sets.source), ensure_ascii=False),
            "file": kept.path,
            "read from": read_from(paired),
        },
    )


@micro_cohort_asset(deps=["paired_expression", "gene_sets"], kinds={"numba", "parquet"})
def pathway_scores(_: dg.AssetExecutionContext, cohort: MicroCohort) -> AssetResult:
    """N-of-1 scores: one row per subject and gene set, with z, two-sided p, FDR, median effect and -1, 0 or +1.

    A subject's scores come from this subject's two samples alone. Beside the table lies one HTML page per subject;
    pages and pictures number the subjects in the order of the table, and ``pages/index.html`` says who is who.
    """
    from clinical_assets.foundation.atomic_files import PRIVATE, write_whole
    from clinical_assets.observability.portfolio import write_portfolio
    from clinical_assets.pathways.inputs.study_inputs import scoring_method
    from clinical_assets.pathways.results.expression_store import keep_scores
    from clinical_assets.pathways.results.figures import pathway_heat_map
    from clinical_assets.pathways.results.pages import findings, write_pages
    from clinical_assets.pathways.scores.scores import score_subjects
    from clinical_assets.workspace import Workspace

    if cohort.ready:
        ready, digest = cohort.ready_scores()
        return AssetResult(digest, {"dagster/row_count": ready.values.size, "statement": ready.statement()})
    paired, sets, expression, gene_sets_digest = cohort.sets()
    wanted = cohort.spec.scoring
    scores = score_subjects(
        paired, sets, method=scoring_method(cohort.spec), alpha=wanted.alpha, decide_on=wanted.decide_on
    )
    kept = keep_scores(cohort.folder, scores, expression=expression, gene_sets=gene_sets_digest)
    index = write_pages(cohort.folder, paired, scores, sets, title=cohort.spec.title)
    write_portfolio(Workspace(cohort.settings))
    found = findings(scores, paired.labels)
    picture = pathway_heat_map(numbered(scores), sets, paired.labels)
    write_whole(cohort.folder / "pathway_heat_map.png", picture, mode=PRIVATE)
    rows = [
        {
            "subject": asset_metadata.MASK,
            "gene set": name,
            "z": float(scores.statistic[0, i]),
            "p": float(scores.p_value[0, i]),
            "FDR": float(scores.fdr[0, i]),
            "median effect": float(scores.median_effect[0, i]),
            "score": int(scores.score[0, i]),
        }
        for i, name in enumerate(scores.names[: asset_metadata.PREVIEW_ROWS])
    ]
    return AssetResult(
        kept.digest,
        {
            "dagster/row_count": scores.score.size,
            "dagster/column_schema": schema(
                subject=("VARCHAR", "subject of the sample sheet"),
                gene_set=("VARCHAR", "name in the source"),
                statistic=("DOUBLE", "z of the signed-rank test; above 0 is up in the affected sample"),
                p_value=("DOUBLE", "two-sided"),
                fdr=("DOUBLE", "Benjamini-Hochberg over the sets of the subject"),
                median_effect=("DOUBLE", "median difference of the set's genes [log2]"),
                score=("TINYINT", f"-1, 0 or +1, {scores.decided_on} below {scores.alpha:g}"),
                n_used=("INTEGER", "genes that took part"),
            ),
            "statement": scores.statement,
            "called up": int((scores.score > 0).sum()),
            "called down": int((scores.score < 0).sum()),
            "preview": rows,
            "findings by subject": dg.MetadataValue.md(_findings(found, index.parent)),
            "pages": index,
            "pages in a browser": dg.MetadataValue.url(index.as_uri()),
            "file": kept.path,
            "pathways by subject": picture,
            "read from": read_from(paired),
        },
    )


def _ready_made(cohort: MicroCohort) -> AssetResult:
    """Scores that were made elsewhere, as they came: one row per subject and pathway."""
    from clinical_assets.cohorts.paired.sources import ScoreTable
    from clinical_assets.pathways.inputs.score_table import read_scores
    from clinical_assets.pathways.results.score_store import keep_ready

    table = cohort.spec.expression
    assert isinstance(table, ScoreTable)  # it is what makes the cohort ready
    ready = read_scores(table, cohort.path.parent, synthetic=cohort.spec.synthetic, erased=cohort.erased)
    kept = keep_ready(cohort.folder, ready)
    counted = {label: ready.labels.count(label) for label in sorted(set(ready.labels), key=str)}
    return AssetResult(
        kept.digest,
        {
            "dagster/row_count": ready.values.size,
            "dagster/column_schema": schema(
                subject=("VARCHAR", "subject of the table"),
                pathway=("VARCHAR", "column of the table"),
                score=("DOUBLE", f"{ready.kind} score, as it came"),
            ),
            "subjects": len(ready.subjects),
            "labels": ", ".join(f"{label or 'none'}: {count}" for label, count in counted.items()),
            "statement": ready.statement(),
            "file": kept.path,
        },
    )


def _findings(found: "Sequence[PageFinding]", pages: Path) -> str:
    """A table for the UI: subjects by number, for the event log is no place for identifiers."""
    lines = [
        "Subjects by number, in the order of the table; `index.html` beside the pages says who is who.",
        "",
        "| no. | label | up | down | strongest evidence (z, raw p) | page |",
        "|---|---|---|---|---|---|",
    ]
    for one in found:
        strongest = "; ".join(f"{name.replace('|', '/')} ({z:+.1f}, {p:.1e})" for name, z, p in one.strongest)
        link = f"[{one.page}]({(pages / one.page).as_uri()})"
        lines.append(f"| {one.number} | {one.label or ''} | {one.up} | {one.down} | {strongest or 'none'} | {link} |")
    return "\n".join(lines)
