"""From two samples of each subject to scored pathways and one page per subject.

``paired_expression`` -> ``gene_sets`` -> ``pathway_scores``; what is studied with them is in ``micro_cohort_studies``.

What belongs here: what Dagster needs to know. Pairing, scoring and drawing are the work of
``clinical_assets.pathways``.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import dagster as dg

from clinical_assets.assets import evidence
from clinical_assets.assets.paired_cohort import GROUP, OWNERS, identity, micro_cohort, numbered, schema
from clinical_assets.assets.partitions import PAIRED
from clinical_assets.assets.resources import Platform, told

if TYPE_CHECKING:
    from clinical_assets.pathways.pages import Finding

_SHOWN = 25


@dg.asset(
    partitions_def=PAIRED,
    group_name=GROUP,
    owners=OWNERS,
    kinds={"polars", "parquet"},
    code_version="1",
)
def paired_expression(context: dg.AssetExecutionContext, platform: Platform) -> dg.MaterializeResult:
    """Two log2 transcriptomes of every subject: one row per subject and gene, control and affected side by side.

    What was recognised in the matrix, filtered and normalised stands in the statements; subjects without two usable
    samples are left out and counted. The data version is a digest of all of it.
    """
    from clinical_assets.pathways.kept import keep_expression
    from clinical_assets.pathways.opening import open_expression

    with told():
        cohort = micro_cohort(platform, context.partition_key)
        paired = open_expression(cohort.spec, cohort.path.parent)
        kept = keep_expression(cohort.folder, paired)
    counted = {label: paired.labels.count(label) for label in sorted(set(paired.labels), key=str)}
    rows = [
        {"subject": evidence.MASK, "gene": gene, "control_log2": float(low), "affected_log2": float(high)}
        for gene, low, high in zip(
            paired.genes[: evidence.PREVIEW_ROWS], paired.control[0], paired.affected[0], strict=False
        )
    ]
    return dg.MaterializeResult(
        data_version=dg.DataVersion(kept.digest),
        metadata={
            "dagster/row_count": paired.control.size,
            "dagster/column_schema": schema(
                subject=("VARCHAR", "subject of the sample sheet"),
                gene=("VARCHAR", f"identifier, kind {paired.identifier_kind}"),
                control_log2=("DOUBLE", f"sample {paired.conditions[0]!r} [log2]"),
                affected_log2=("DOUBLE", f"sample {paired.conditions[1]!r} [log2]"),
            ),
            "subjects": len(paired.subjects),
            "subjects left out": len(paired.refused),
            "genes": len(paired.genes),
            "labels": ", ".join(f"{label or 'none'}: {count}" for label, count in counted.items()),
            "statements": dg.MetadataValue.md("\n".join(f"- {statement}" for statement in paired.statements)),
            "preview": evidence.records_table(rows),
            "file": dg.MetadataValue.path(str(kept.path)),
            **identity(cohort, paired),
        },
    )


@dg.asset(
    partitions_def=PAIRED,
    group_name=GROUP,
    owners=OWNERS,
    deps=[paired_expression],
    kinds={"parquet"},
    code_version="1",
)
def gene_sets(context: dg.AssetExecutionContext, platform: Platform) -> dg.MaterializeResult:
    """Gene sets fitted to the measured genes: one row per set, with its measured genes.

    Sizes are counted on measured genes; sets that became identical are kept once and listed. The source is named by
    file, digest and version.
    """
    from clinical_assets.pathways.gene_sets import genes_in_sets, measured_gene_sets
    from clinical_assets.pathways.kept import keep_gene_sets, keep_left_out
    from clinical_assets.pathways.opening import open_gene_sets

    with told():
        cohort = micro_cohort(platform, context.partition_key)
        paired, expression = cohort.expression()
        spec = cohort.spec
        collection = open_gene_sets(spec, cohort.path.parent, identifiers=paired.identifier_kind)
        limits = {"min_size": spec.sizes.smallest, "max_size": spec.sizes.largest}
        sets = measured_gene_sets(collection, paired.genes, **limits)
        kept = keep_gene_sets(cohort.folder, sets, expression=expression)
        left_out = keep_left_out(cohort.folder, sets)
    rows = [
        {"gene set": name, "measured genes": int(size)}
        for name, size in zip(sets.names[: evidence.PREVIEW_ROWS], sets.sizes, strict=False)
    ]
    collapsed = [{"kept": name, "identical": ", ".join(others)} for name, others in sets.collapsed[:_SHOWN]]
    return dg.MaterializeResult(
        data_version=dg.DataVersion(kept.digest),
        metadata={
            "dagster/row_count": len(sets.names),
            "dagster/column_schema": schema(
                gene_set=("VARCHAR", "name in the source"),
                description=("VARCHAR", "description in the source"),
                measured_genes=("BIGINT", "measured genes in the set"),
                position=("BIGINT[]", "their places in the list of measured genes, from 0"),
                gene=("VARCHAR[]", "their identifiers"),
            ),
            "statement": sets.statement(),
            "too small": len(sets.too_small),
            "too large": len(sets.too_large),
            "identical to another set": sum(len(others) for _, others in sets.collapsed),
            "measured genes in a set": genes_in_sets(sets),
            "every set left out, and why": dg.MetadataValue.path(str(left_out)),
            "preview": evidence.records_table(rows),
            **({"collapsed": evidence.records_table(collapsed)} if collapsed else {}),
            "source": json.dumps(asdict(sets.source), ensure_ascii=False),
            "file": dg.MetadataValue.path(str(kept.path)),
            **identity(cohort, paired),
        },
    )


@dg.asset(
    partitions_def=PAIRED,
    group_name=GROUP,
    owners=OWNERS,
    deps=[paired_expression, gene_sets],
    kinds={"numba", "parquet"},
    code_version="1",
)
def pathway_scores(context: dg.AssetExecutionContext, platform: Platform) -> dg.MaterializeResult:
    """N-of-1 scores: one row per subject and gene set, with z, two-sided p, FDR, median effect and -1, 0 or +1.

    A subject's scores come from this subject's two samples alone. Beside the table lies one HTML page per subject;
    pages and pictures number the subjects in the order of the table, and ``pages/index.html`` says who is who.
    """
    from clinical_assets.pathways.figures import pathway_heat_map
    from clinical_assets.pathways.kept import keep_scores
    from clinical_assets.pathways.opening import scoring_method
    from clinical_assets.pathways.pages import findings, write_pages
    from clinical_assets.pathways.scores import score_subjects
    from clinical_assets.whole_files import PRIVATE, write_whole

    with told():
        cohort = micro_cohort(platform, context.partition_key)
        paired, sets, expression, gene_sets_digest = cohort.sets()
        wanted = cohort.spec.scoring
        scores = score_subjects(
            paired, sets, method=scoring_method(cohort.spec), alpha=wanted.alpha, decide_on=wanted.decide_on
        )
        kept = keep_scores(cohort.folder, scores, expression=expression, gene_sets=gene_sets_digest)
        index = write_pages(cohort.folder, paired, scores, sets, title=cohort.spec.title)
        found = findings(scores, paired.labels)
        picture = pathway_heat_map(numbered(scores), sets, paired.labels)
        write_whole(cohort.folder / "pathway_heat_map.png", picture, mode=PRIVATE)
    rows = [
        {
            "subject": evidence.MASK,
            "gene set": name,
            "z": float(scores.statistic[0, i]),
            "p": float(scores.p_value[0, i]),
            "FDR": float(scores.fdr[0, i]),
            "median effect": float(scores.median_effect[0, i]),
            "score": int(scores.score[0, i]),
        }
        for i, name in enumerate(scores.names[: evidence.PREVIEW_ROWS])
    ]
    return dg.MaterializeResult(
        data_version=dg.DataVersion(kept.digest),
        metadata={
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
            "preview": evidence.records_table(rows),
            "findings by subject": dg.MetadataValue.md(_findings(found, index.parent)),
            "pages": dg.MetadataValue.path(str(index)),
            "pages in a browser": dg.MetadataValue.url(index.as_uri()),
            "file": dg.MetadataValue.path(str(kept.path)),
            **evidence.picture(picture, "pathways by subject"),
            **identity(cohort, paired),
        },
    )


def _findings(found: "Sequence[Finding]", pages: Path) -> str:
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
