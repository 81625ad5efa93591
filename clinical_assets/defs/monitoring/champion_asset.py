"""Assets that look at what serves a cohort, and the one that each registered report becomes.

What belongs here: making an asset of a function that looks at a champion. What does not: any one report
(``clinical_assets.monitoring.reports``).
"""

from collections.abc import Callable, Sequence
from functools import wraps
from importlib import import_module

import dagster as dg

from clinical_assets.defs.predictions.assets import GROUP
from clinical_assets.defs.shared.cohort_asset import AssetResult, cohort_asset
from clinical_assets.defs.shared.serving_model import serving_model
from clinical_assets.monitoring.report_type import ChampionContext, NothingToReport, ReportType
from clinical_assets.workspace import CohortHandle

OWNER = "team:clinical-data-science"
ChampionReportBody = Callable[[dg.AssetExecutionContext, CohortHandle, ChampionContext], AssetResult]


def champion_asset(
    *, deps: Sequence[str], kinds: set[str], runs: Sequence[str] = ()
) -> Callable[[ChampionReportBody], dg.AssetsDefinition]:
    """Make an asset of a function that looks at a cohort's champion.

    Without a champion, or where the function raises ``NothingToReport``, the asset says so, as "insufficient".
    """

    def make(look: ChampionReportBody) -> dg.AssetsDefinition:
        @wraps(look)
        def compute(context: dg.AssetExecutionContext, cohort: CohortHandle) -> AssetResult:
            serving = serving_model(cohort)
            if serving is None or not cohort.warehouse.exists():
                return _insufficient("Nothing was scored yet.")
            served, bundle = serving
            champion = ChampionContext(cohort, served.digest, bundle)
            try:
                return look(context, cohort, champion)
            except NothingToReport as nothing:
                return _insufficient(str(nothing))

        return cohort_asset(group=GROUP, owner=OWNER, deps=deps, kinds=kinds, runs=runs)(compute)

    return make


def report_asset(report: ReportType) -> dg.AssetsDefinition:
    """The asset of a registered report: makes it, keeps it, and shows verdict, words, numbers over time and rows."""
    assert report.maker is not None
    module, _, name = report.maker.partition(":")

    def look(_: dg.AssetExecutionContext, cohort: CohortHandle, champion: ChampionContext) -> AssetResult:
        from clinical_assets.monitoring import report_store

        made, window = getattr(import_module(module), name)(champion)
        metrics = made.metrics()
        content = {
            "verdict": made.verdict,
            "summary": made.summary,
            "window": window,
            "bundle_digest": champion.digest,
            "metrics": metrics,
            "report": made.to_json(),
        }
        report_store.keep(cohort.settings, cohort.name, report.name, content)
        return AssetResult(
            metadata={
                "verdict": made.verdict,
                "summary": dg.MetadataValue.md(made.summary),
                "window": window,
                **{metric: dg.MetadataValue.float(float(value)) for metric, value in metrics.items()},
                "details": list(made.rows()),
            }
        )

    look.__name__, look.__doc__ = report.name, report.question
    return champion_asset(deps=["scored_records", "prediction_log"], kinds=set(report.kinds), runs=[module])(look)


def _insufficient(why: str) -> AssetResult:
    return AssetResult(metadata={"verdict": "insufficient", "why": why})
