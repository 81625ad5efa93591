"""From two samples of each subject to scored pathways, one page per subject, a study and its ablation.

``paired_expression`` -> ``gene_sets`` -> ``pathway_scores`` -> ``micro_cohort_study`` -> ``ablation_report``.

What belongs here: what Dagster needs to know. Pairing, scoring, studying and drawing are the work of
``clinical_assets.pathways``. State lies in ``<data>/micro_cohorts/<cohort>/``, a file a stage, each whole or not there.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, is_dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg

from clinical_assets.assets import evidence
from clinical_assets.assets.partitions import PAIRED
from clinical_assets.assets.resources import Platform, told
from clinical_assets.cohorts.paired import PairedCohortSpec, paired_catalogue
from clinical_assets.errors import SpecError
from clinical_assets.settings import KEY, KEY_FILE, Settings

if TYPE_CHECKING:
    from clinical_assets.pathways.ablation import AblationResult
    from clinical_assets.pathways.gene_sets import MeasuredGeneSets
    from clinical_assets.pathways.pairing import PairedExpression
    from clinical_assets.pathways.protocols import Performance
    from clinical_assets.pathways.scores import PathwayScores
    from clinical_assets.pathways.study import StudyResult

GROUP = "micro_cohorts"
OWNERS = ["team:clinical-data-science"]
STUDY, ABLATION = "micro_cohort_study.json", "ablation_report.json"
_SHOWN = 25


@dataclass(frozen=True)
class MicroCohort:
    """One paired cohort as a run sees it."""

    name: str
    settings: Settings
    path: Path

    @cached_property
    def spec(self) -> PairedCohortSpec:
        """The checked description.

        Raises
        ------
        SpecError
            When it is wrong, or when records of real subjects would be written in the clear although a key is set.
        """
        from clinical_assets.cohorts.paired import load

        spec = load(self.path)
        if self.settings.master_key is not None and not spec.synthetic:
            raise SpecError(
                f"{KEY} or {KEY_FILE} asks for encrypted state, but the files of paired cohorts are plain.",
                cure=f"Keep real paired cohorts in a data folder on an encrypted disk, and run them without {KEY}.",
            )
        return spec

    @property
    def folder(self) -> Path:
        """Folder of the cohort's files, whether or not it exists yet."""
        return self.settings.data / "micro_cohorts" / self.name

    def expression(self) -> "tuple[PairedExpression, str]":
        """The kept paired expression and its digest."""
        from clinical_assets.pathways.kept import read_kept_expression

        return read_kept_expression(self.folder)

    def sets(self) -> "tuple[PairedExpression, MeasuredGeneSets, str, str]":
        """Kept expression and gene sets, and their digests."""
        from clinical_assets.pathways.kept import read_kept_gene_sets

        paired, made_from = self.expression()
        sets, digest = read_kept_gene_sets(self.folder, expression=made_from)
        return paired, sets, made_from, digest

    def scored(self) -> "tuple[PairedExpression, MeasuredGeneSets, PathwayScores]":
        """Kept expression, gene sets and scores, known to be made from one another."""
        from clinical_assets.pathways.kept import read_kept_scores

        paired, sets, expression, gene_sets = self.sets()
        scores, _ = read_kept_scores(self.folder, expression=expression, gene_sets=gene_sets)
        return paired, sets, scores


def micro_cohort(platform: Platform, name: str) -> MicroCohort:
    """Everything about one paired cohort; its description is read when first used."""
    cohort = platform.cohort(name)
    path = paired_catalogue(cohort.catalogue.folders).path(name)
    return MicroCohort(name=name, settings=cohort.settings, path=path)


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
            "dagster/column_schema": _schema(
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
            **_identity(cohort, paired),
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
    from clinical_assets.pathways.gene_sets import measured_gene_sets
    from clinical_assets.pathways.kept import keep_gene_sets
    from clinical_assets.pathways.opening import open_gene_sets

    with told():
        cohort = micro_cohort(platform, context.partition_key)
        paired, expression = cohort.expression()
        spec = cohort.spec
        collection = open_gene_sets(spec, cohort.path.parent, identifiers=paired.identifier_kind)
        limits = {"min_size": spec.sizes.smallest, "max_size": spec.sizes.largest}
        sets = measured_gene_sets(collection, paired.genes, **limits)
        kept = keep_gene_sets(cohort.folder, sets, expression=expression)
    rows = [
        {"gene set": name, "measured genes": int(size)}
        for name, size in zip(sets.names[: evidence.PREVIEW_ROWS], sets.sizes, strict=False)
    ]
    collapsed = [{"kept": name, "identical": ", ".join(others)} for name, others in sets.collapsed[:_SHOWN]]
    return dg.MaterializeResult(
        data_version=dg.DataVersion(kept.digest),
        metadata={
            "dagster/row_count": len(sets.names),
            "dagster/column_schema": _schema(
                gene_set=("VARCHAR", "name in the source"),
                description=("VARCHAR", "description in the source"),
                measured_genes=("BIGINT", "measured genes in the set"),
                position=("BIGINT[]", "their places in the list of measured genes, from 0"),
                gene=("VARCHAR[]", "their identifiers"),
            ),
            "statement": sets.statement(),
            "too small": len(sets.too_small),
            "too large": len(sets.too_large),
            "preview": evidence.records_table(rows),
            **({"collapsed": evidence.records_table(collapsed)} if collapsed else {}),
            "source": json.dumps(asdict(sets.source), ensure_ascii=False),
            "file": dg.MetadataValue.path(str(kept.path)),
            **_identity(cohort, paired),
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
    from clinical_assets.pathways.kept import keep_scores, write_whole
    from clinical_assets.pathways.opening import scoring_method
    from clinical_assets.pathways.scores import score_subjects

    with told():
        cohort = micro_cohort(platform, context.partition_key)
        paired, sets, expression, gene_sets_digest = cohort.sets()
        wanted = cohort.spec.scoring
        scores = score_subjects(
            paired, sets, method=scoring_method(cohort.spec), alpha=wanted.alpha, decide_on=wanted.decide_on
        )
        kept = keep_scores(cohort.folder, scores, expression=expression, gene_sets=gene_sets_digest)
        pages = _write_pages(cohort, paired, scores, sets)
        # Pictures go into the event log, which is no place for identifiers.
        numbered = replace(scores, subjects=tuple(f"{i:03d}" for i in range(1, len(scores.subjects) + 1)))
        picture = pathway_heat_map(numbered, sets, paired.labels)
        write_whole(cohort.folder / "pathway_heat_map.png", picture)
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
            "dagster/column_schema": _schema(
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
            "pages": dg.MetadataValue.path(str(pages)),
            "file": dg.MetadataValue.path(str(kept.path)),
            **evidence.picture(picture, "pathways by subject"),
            **_identity(cohort, paired),
        },
    )


@dg.multi_asset(
    name="micro_cohort_modelling",
    partitions_def=PAIRED,
    group_name=GROUP,
    specs=[
        dg.AssetSpec(
            "micro_cohort_study",
            deps=[paired_expression, pathway_scores],
            owners=OWNERS,
            kinds={"scikitlearn"},
            code_version="1",
            description=(
                "Designs and families side by side: one row per pair, judged by the study's own protocol and on "
                "subjects left out of the whole sweep, with the optimism between the two and the null of permuted "
                "labels. The cohort is small: the intervals are the result."
            ),
        ),
        dg.AssetSpec(
            "ablation_report",
            deps=["micro_cohort_study"],
            owners=OWNERS,
            kinds={"scikitlearn"},
            code_version="1",
            description=(
                "What remains without the most important features: one row per ablated design, by the study's way and "
                "inside the folds, against random removal and with a new sweep, and a verdict in words."
            ),
        ),
    ],
)
def micro_cohort_modelling(context: dg.AssetExecutionContext, platform: Platform) -> Iterator[dg.MaterializeResult]:
    """Study the cohort, then remove what the models stood on; both use the same folds."""
    from clinical_assets.pathways.designs import study_data
    from clinical_assets.pathways.figures import optimism_picture, precision_recall_panel
    from clinical_assets.pathways.kept import write_whole
    from clinical_assets.pathways.opening import FAMILIES, budget
    from clinical_assets.pathways.study import micro_cohort_study

    def progress(what: str, done: int, total: int) -> None:
        context.log.info(f"{what}: {done} of {total}")

    with told():
        cohort = micro_cohort(platform, context.partition_key)
        paired, _, scores = cohort.scored()
        plan = cohort.spec.study
        data = study_data(paired, scores, positive=cohort.spec.positive)
        result = micro_cohort_study(data, budget=budget(plan), seed=plan.seed, progress=progress)
        study_digest = _keep_json(cohort.folder / STUDY, result, {"headline": result.headline()})
        drawn: dict[str, bytes | None] = {
            f"precision and recall, {family.replace('_', ' ')}": precision_recall_panel(result, family=FAMILIES[family])
            for family in plan.families
        }
        drawn["permuted labels"] = optimism_picture(result) if result.nulls else None
        for title, png in drawn.items():
            path = cohort.folder / f"{title.replace(', ', '_').replace(' ', '_')}.png"
            if png is None:
                path.unlink(missing_ok=True)  # of a study that had a null
            else:
                write_whole(path, png)
    pictures: dict[str, dg.MetadataValue] = {}
    for title, png in drawn.items():
        pictures |= evidence.picture(png, title)
    yield dg.MaterializeResult(
        asset_key="micro_cohort_study",
        data_version=dg.DataVersion(study_digest),
        metadata={
            "dagster/row_count": len(result.rows),
            "headline": dg.MetadataValue.md("\n".join(f"- {line}" for line in result.headline().splitlines())),
            "designs and families": evidence.records_table(_study_rows(result)),
            "mean optimism": sum(row.optimism for row in result.rows) / len(result.rows),
            "subjects": result.n,
            "subjects without a label": len(data.left_out),
            "file": dg.MetadataValue.path(str(cohort.folder / STUDY)),
            **pictures,
            **_identity(cohort, paired),
        },
    )
    with told():
        yield _ablate(cohort, paired, data, result, progress)


def _ablate(
    cohort: MicroCohort,
    paired: "PairedExpression",
    data: Any,
    result: "StudyResult",
    progress: Callable[[str, int, int], None],
) -> dg.MaterializeResult:
    from clinical_assets.pathways.ablation import ablation
    from clinical_assets.pathways.figures import precision_recall_panel
    from clinical_assets.pathways.kept import write_whole
    from clinical_assets.pathways.opening import DESIGNS, ablated_family, budget

    plan = cohort.spec.study
    family = ablated_family(plan)
    reports = [
        ablation(
            data,
            design=DESIGNS[design],
            family=family,
            n_removed=plan.ablation.remove,
            n_random=plan.ablation.random_removals,
            budget=budget(plan),
            seed=plan.seed,
            progress=progress,
        )
        for design in plan.ablation.designs
    ]
    panel = precision_recall_panel(result, family=family.name, ablations=reports)
    digest = _keep_json(cohort.folder / ABLATION, reports, {})
    write_whole(cohort.folder / "ablation.png", panel)
    verdicts = "\n".join(f"- **{report.design}: {report.conclusion}.** {report.verdict}" for report in reports)
    return dg.MaterializeResult(
        asset_key="ablation_report",
        data_version=dg.DataVersion(digest),
        metadata={
            "dagster/row_count": len(reports),
            "verdicts": dg.MetadataValue.md(verdicts),
            "ablations": evidence.records_table([_ablation_row(report) for report in reports]),
            "file": dg.MetadataValue.path(str(cohort.folder / ABLATION)),
            **evidence.picture(panel, "with and without the top features"),
            **_identity(cohort, paired),
        },
    )


def _write_pages(
    cohort: MicroCohort, paired: "PairedExpression", scores: "PathwayScores", sets: "MeasuredGeneSets"
) -> Path:
    """One page per subject and an index; a whole new folder takes the place of the old one."""
    import shutil
    import tempfile
    from html import escape

    from clinical_assets.pathways.kept import write_whole
    from clinical_assets.pathways.subject_page import subject_page

    pages = cohort.folder / "pages"
    # mkdtemp gives a folder that only this account may enter.
    new = Path(tempfile.mkdtemp(dir=cohort.folder, prefix=".pages."))
    try:
        links = []
        for number, subject in enumerate(paired.subjects, start=1):
            name = f"subject-{number:03d}.html"  # a subject's own identifier may be no file name
            write_whole(new / name, subject_page(paired, scores, sets, subject).encode())
            links.append(f'<li value="{number}"><a href="{name}">{escape(subject)}</a></li>')
        warning = "<p><strong>SYNTHETIC data: no patient behind any page.</strong></p>" if paired.synthetic else ""
        title = escape(cohort.spec.title)
        index = (
            f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title></head>'
            f"<body><h1>{title}</h1>{warning}<ol>{''.join(links)}</ol></body></html>\n"
        )
        write_whole(new / "index.html", index.encode())
        if pages.exists():
            old = new / "old"
            pages.replace(old)
            shutil.rmtree(old)
        new.replace(pages)
    finally:
        shutil.rmtree(new, ignore_errors=True)  # gone already when all went well
    return pages


def _identity(cohort: MicroCohort, paired: "PairedExpression") -> dict[str, Any]:
    said = evidence.identity(cohort.spec)
    return {**said, "read from": f"{paired.source.file} (SHA-256 {paired.source.sha256[:12]})"}


def _schema(**columns: tuple[str, str]) -> dg.TableSchema:
    return dg.TableSchema(
        columns=[dg.TableColumn(name, type=kind, description=said) for name, (kind, said) in columns.items()]
    )


def _keep_json(path: Path, result: Any, more: Mapping[str, Any]) -> str:
    """Write a result with its digest, which is the data version."""
    from clinical_assets.pathways.kept import digest_of, write_whole

    facts = {**more, "result": _plain(result)}
    digest = digest_of(facts)
    text = json.dumps({"digest": digest, **facts}, indent=1, ensure_ascii=False, allow_nan=False)
    write_whole(path, f"{text}\n".encode())
    return digest


def _plain(value: Any) -> Any:
    """Dataclasses, arrays and tuples as JSON values."""
    if is_dataclass(value) and not isinstance(value, type):
        return {name: _plain(getattr(value, name)) for name in value.__dataclass_fields__}
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if hasattr(value, "tolist"):  # arrays and numpy's numbers
        return _plain(value.tolist())
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_plain(item) for item in value]
    return value


def _study_rows(result: "StudyResult") -> list[dict[str, Any]]:
    return [
        {
            "design": row.design,
            "model": row.family,
            "features": result.n_features[row.design],
            "study: precision, recall": _both(row.study.cross_validated),
            "left out: precision, recall": _both(row.honest.performance),
            "study: balanced accuracy": row.study.cross_validated.balanced_accuracy.value,
            "left out: balanced accuracy": row.honest.performance.balanced_accuracy.value,
            "low": row.honest.performance.balanced_accuracy.ci_low,
            "high": row.honest.performance.balanced_accuracy.ci_high,
            "optimism": row.optimism,
        }
        for row in result.rows
    ]


def _both(performance: "Performance") -> str:
    shown = [
        "not estimable" if part is None else f"{part.value:.2f} [{part.ci_low:.2f}, {part.ci_high:.2f}]"
        for part in (performance.precision, performance.recall)
    ]
    return ", ".join(shown)


def _ablation_row(report: "AblationResult") -> dict[str, Any]:
    honest = report.honest
    return {
        "design": report.design,
        "model": report.family,
        "removed": report.n_removed,
        "study: before": _both(report.study.before.cross_validated),
        "study: after": _both(report.study.cross_validated),
        "left out: all features": honest.full.performance.balanced_accuracy.value,
        "left out: without the top": honest.same_configuration.balanced_accuracy.value,
        "left out: after a new sweep": honest.new_sweep.balanced_accuracy.value,
        "random removal": float(honest.random_removal.mean()),
        "p": honest.p_value,
        "conclusion": report.conclusion,
    }
