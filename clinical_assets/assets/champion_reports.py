"""What all reports about a champion have in common: whom they are about, when they have nothing to say, how they show.

What belongs here: making an asset of a function that looks at a champion. What does not: any one report
(``monitoring``).
"""

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import dagster as dg

from clinical_assets.assets import evidence
from clinical_assets.assets.partitions import COHORTS
from clinical_assets.assets.predictions import GROUP, OWNERS, nothing_yet, serving_model
from clinical_assets.assets.resources import Cohort, Platform, told

if TYPE_CHECKING:
    import duckdb

    from clinical_assets.governance.champions import Champion
    from clinical_assets.modelling.bundle import Bundle
    from clinical_assets.monitoring.kept_reports import Name
    from clinical_assets.monitoring.windows import BatchWindow


class NothingYet(Exception):
    """A report has nothing to say yet; its words say why."""


@dataclass(frozen=True)
class Watched:
    """A cohort's champion in one run.

    Attributes
    ----------
    champion, bundle
        What serves, verified.
    """

    context: dg.AssetExecutionContext
    cohort: Cohort
    champion: "Champion"
    bundle: "Bundle"

    def newest(self, connection: "duckdb.DuckDBPyConnection", *, at_least: int) -> "BatchWindow":
        """The newest batches that the champion scored, as many as are needed for `at_least` records.

        Raises
        ------
        NothingYet
            It scored none.
        """
        from clinical_assets.monitoring import windows

        window = windows.newest_batches(connection, bundle_digest=self.champion.digest, at_least=at_least)
        if window is None:
            raise NothingYet("No record was scored by the present champion yet.")
        return window

    def shown(self, name: "Name", report: Any, window: str) -> dg.MaterializeResult:
        """Keep a report, and show it: verdict, words, numbers that the UI plots over time, rows."""
        from clinical_assets.monitoring import kept_reports

        metrics, rows = report.metrics(), report.rows()
        content = {
            "verdict": report.verdict,
            "summary": report.summary,
            "window": window,
            "bundle_digest": self.champion.digest,
            "metrics": metrics,
            "report": report.to_json(),
        }
        kept_reports.keep(self.cohort.settings, self.cohort.name, name, content)
        return dg.MaterializeResult(
            metadata={
                "verdict": report.verdict,
                "summary": dg.MetadataValue.md(report.summary),
                "window": window,
                **{metric: dg.MetadataValue.float(float(value)) for metric, value in metrics.items()},
                **({"details": evidence.records_table(rows)} if rows else {}),
                **evidence.identity(self.cohort.spec),
            }
        )


Look = Callable[[Watched], dg.MaterializeResult]


def champion_report(*, deps: Sequence[dg.AssetsDefinition], kinds: set[str]) -> Callable[[Look], dg.AssetsDefinition]:
    """Make a partitioned asset of a function that looks at a cohort's champion; its docstring is the description.

    Without a champion, or where the function raises ``NothingYet``, the asset says so, as "insufficient".
    """

    def make(look: Look) -> dg.AssetsDefinition:
        @dg.asset(
            name=look.__name__,
            description=inspect.getdoc(look),
            partitions_def=COHORTS,
            group_name=GROUP,
            owners=OWNERS,
            deps=deps,
            kinds=kinds,
            code_version="1",
        )
        def report(context: dg.AssetExecutionContext, platform: Platform) -> dg.MaterializeResult:
            cohort = platform.cohort(context.partition_key)
            with told():
                serving = serving_model(cohort)
                if serving is None or not cohort.warehouse.exists():
                    return nothing_yet(cohort, "Nothing was scored yet.")
                try:
                    return look(Watched(context, cohort, *serving))
                except NothingYet as nothing:
                    return nothing_yet(cohort, str(nothing))

        return report

    return make
