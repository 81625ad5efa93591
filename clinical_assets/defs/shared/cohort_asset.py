"""What every asset and every check of a cohort has in common, said once.

A function that computes something gets the cohort that its run is about, and gives back plain values. The decorators
here add what Dagster and the platform ask of all of them: partitions, one run for each cohort of a backfill, a version
that is the digest of the code, errors in the words of the platform, the lock on the cohort's files, the pool, and
metadata in one form::

    @cohort_asset(group="features", owner="team:data-platform", deps=["validated_records"], kinds={"duckdb"})
    def features(context, cohort):
        built = build_features(cohort.spec, cohort.sql, cohort.warehouse)
        return AssetResult(built.digest, {"dagster/row_count": built.rows})

Assets that come from one computation are its ``parts``. Any of them can be selected: the computation runs whole and
writes all that it writes, and only what was selected is reported as materialised.
"""

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

import dagster as dg

from clinical_assets.defs import partitions
from clinical_assets.defs.resources import Platform, as_dagster_failure
from clinical_assets.defs.shared.asset_metadata import identity, shown
from clinical_assets.defs.shared.made_from import MADE_FROM, Ingredients, MadeFrom, made_from_tags
from clinical_assets.defs.shared.mlflow_tracking import MlflowTracking
from clinical_assets.foundation.code_digest import code_digest
from clinical_assets.workspace import CohortHandle

#: Runs that hold a DuckDB file, each with its own memory budget; and runs that write into the one MLflow store.
DUCKDB, MLFLOW = "duckdb", "mlflow"

Opened = TypeVar("Opened")


@dataclass(frozen=True)
class AssetResult:
    """What a computation says about an asset that it made.

    Attributes
    ----------
    version : str or None
        Digest of the content; Dagster makes one from code and inputs when None.
    metadata : mapping
        Plain values, see ``asset_metadata.shown``.
    """

    version: str | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class AssetPart:
    """One of several assets that come from one computation."""

    name: str
    deps: Sequence[str]
    kinds: frozenset[str]
    description: str
    tags: Mapping[str, str] = field(default_factory=dict)


Computation = Callable[..., "AssetResult | Mapping[str, AssetResult]"]
CheckBody = Callable[..., dg.AssetCheckResult]
CheckBodies = Callable[..., Mapping[str, dg.AssetCheckResult]]


@dataclass(frozen=True)
class Partitioned(Generic[Opened]):
    """One kind of cohort: its partitions, and how a run opens one of them.

    Attributes
    ----------
    partitions : callable
        The names, asked for when the first asset is declared.
    opened : callable
        Makes the handle that computations get, from the platform and a name.
    """

    partitions: Callable[[], dg.PartitionsDefinition[str]]
    opened: Callable[[Platform, str], Opened]

    def asset(
        self,
        *,
        group: str,
        owner: str,
        deps: Sequence[str] = (),
        kinds: set[str] | frozenset[str] = frozenset(),
        tags: Mapping[str, str] | None = None,
        parts: Sequence[AssetPart] = (),
        exclusive: bool = False,
        tracked: bool = False,
        pool: str | None = None,
        freshness: dg.FreshnessPolicy | None = None,
        automation: dg.AutomationCondition[dg.AssetKey] | None = None,
        runs: Sequence[str] = (),
        made_from: MadeFrom | None = None,
    ) -> Callable[[Computation], dg.AssetsDefinition]:
        """Make assets of a function of the run's context and the opened cohort.

        Parameters
        ----------
        group, owner : str
            Group of the graph, and who answers for it (``team:...``).
        deps : sequence of str
            Names of the assets that it reads; of no use with ``parts``, which name their own.
        kinds, tags
            As Dagster takes them.
        parts : sequence of AssetPart
            The assets, when there are several; else one, with the name and docstring of the function.
        exclusive : bool
            Whether the computation holds the cohort's warehouse, so that no other writes at the same time.
        tracked : bool
            Whether it writes into the MLflow run of the Dagster run, its third argument.
        pool : str, optional
            Pool whose limit holds for runs with this asset; MLflow's for a tracked one, else DuckDB's when exclusive.
        freshness, automation
            Freshness policy and automation condition of a single asset.
        runs : sequence of str
            Modules that it loads by name, whose code counts for the version too.
        made_from : MadeFrom, optional
            What it reads besides other assets; without it, it is never known to be unchanged.
        """

        def make(compute: Computation) -> dg.AssetsDefinition:
            version = code_digest(compute, *runs)
            single = AssetPart(compute.__name__, deps, frozenset(kinds), inspect.getdoc(compute) or "", tags or {})
            specs = [
                dg.AssetSpec(
                    part.name,
                    deps=list(part.deps),
                    kinds=set(part.kinds),
                    description=part.description,
                    tags=dict(part.tags),
                    owners=[owner],
                    group_name=group,
                    code_version=version,
                    partitions_def=self.partitions(),
                    freshness_policy=freshness,
                    automation_condition=automation,
                )
                for part in parts or [single]
            ]
            made_here = {part.name for part in parts or [single]}
            read = sorted({dep for part in parts or [single] for dep in part.deps} - made_here)
            if made_from is not None:
                read = sorted({*read, *made_from.also})
                for name in made_here:
                    MADE_FROM[name] = Ingredients(made_from, tuple(read), self.opened)
            declared = dg.multi_asset(
                name=compute.__name__,
                description=inspect.getdoc(compute),
                specs=specs,
                can_subset=len(specs) > 1,
                # No backfill policy: the default is one run per partition that carries the tag `dagster/partition`, by
                # which runs of a cohort queue. `multi_run(1)` makes ranges of one and leaves that tag out.
                pool=pool or (MLFLOW if tracked else DUCKDB if exclusive else None),
            )

            def run(
                context: dg.AssetExecutionContext, platform: Platform, mlflow: MlflowTracking | None
            ) -> Iterator[dg.MaterializeResult[Any]]:
                with as_dagster_failure(), ExitStack() as held:
                    cohort: Any = self.opened(platform, context.partition_key)
                    if exclusive:
                        held.enter_context(cohort.warehouse.exclusive())
                    more = [] if mlflow is None else [held.enter_context(mlflow.run(context, cohort))]
                    # Before it is made: what changes meanwhile makes it stale.
                    tags = {} if made_from is None else made_from_tags(made_from, read, context, cohort)
                    made = compute(context, cohort, *more)
                    said = identity(cohort.spec)
                results = {specs[0].key.to_user_string(): made} if isinstance(made, AssetResult) else made
                selected = {key.to_user_string() for key in context.selected_asset_keys}
                unreported = sorted(set(results) - selected)
                for name, result in results.items():
                    if name in selected:
                        yield dg.MaterializeResult(
                            asset_key=name,
                            data_version=None if result.version is None else dg.DataVersion(result.version),
                            tags=tags,
                            metadata=shown(
                                {
                                    **result.metadata,
                                    "written with it, not selected": ", ".join(unreported) or None,
                                    **said,
                                }
                            ),
                        )

            if not tracked:

                @declared
                def plain(context: dg.AssetExecutionContext, platform: Platform) -> Iterator[dg.MaterializeResult[Any]]:
                    yield from run(context, platform, None)

                return plain

            @declared
            def recorded(
                context: dg.AssetExecutionContext, platform: Platform, mlflow: MlflowTracking
            ) -> Iterator[dg.MaterializeResult[Any]]:
                yield from run(context, platform, mlflow)

            return recorded

        return make

    def check(
        self, *, asset: str, name: str | None = None, promise: str | None = None, blocking: bool = False
    ) -> Callable[[CheckBody], dg.AssetChecksDefinition]:
        """Make a check of a function of the opened cohort; its docstring is the promise, unless one is given."""

        def make(look: CheckBody) -> dg.AssetChecksDefinition:
            @dg.asset_check(
                asset=asset,
                name=name or look.__name__,
                description=promise or inspect.getdoc(look),
                blocking=blocking,
                partitions_def=self.partitions(),
            )
            def check(context: dg.AssetCheckExecutionContext, platform: Platform) -> dg.AssetCheckResult:
                with as_dagster_failure():
                    return look(self.opened(platform, context.partition_key))

            return check

        return make

    def checks(
        self, *, asset: str, name: str, promises: Mapping[str, str], blocking: bool = False
    ) -> Callable[[CheckBodies], dg.AssetChecksDefinition]:
        """Make several checks of one function of the opened cohort, which looks at the tables once for all of them.

        Parameters
        ----------
        asset, name : str
            The asset that they look at, and the name of their common step.
        promises : mapping
            What each check promises, by its name; the function gives a result for each name.
        blocking : bool
            Whether one that fails stops what comes after.
        """

        def make(look: CheckBodies) -> dg.AssetChecksDefinition:
            @dg.multi_asset_check(
                name=name,
                specs=[
                    dg.AssetCheckSpec(
                        check,
                        asset=asset,
                        description=promise,
                        blocking=blocking,
                        partitions_def=self.partitions(),
                    )
                    for check, promise in promises.items()
                ],
                can_subset=True,
            )
            def looked_at(context: dg.AssetCheckExecutionContext, platform: Platform) -> Iterator[dg.AssetCheckResult]:
                with as_dagster_failure():
                    results = look(self.opened(platform, context.partition_key))
                selected = {key.name for key in context.selected_asset_check_keys}
                for check, result in results.items():
                    if check in selected:
                        yield result._replace(asset_key=dg.AssetKey(asset), check_name=check)

            return looked_at

        return make


COHORT: Partitioned[CohortHandle] = Partitioned(partitions.cohorts, Platform.cohort)
cohort_asset, cohort_check, cohort_checks = COHORT.asset, COHORT.check, COHORT.checks


def broken(wrong: Sequence[str], *, warns: bool = False, **metadata: Any) -> dg.AssetCheckResult:
    """The result of a check: passed when nothing is wrong, else what is wrong in words.

    Parameters
    ----------
    wrong : sequence of str
        What does not hold.
    warns : bool
        Whether it is a warning only.
    **metadata
        Plain values, see ``asset_metadata.shown``; underscores in names become spaces.
    """
    return dg.AssetCheckResult(
        passed=not wrong,
        severity=dg.AssetCheckSeverity.WARN if warns else dg.AssetCheckSeverity.ERROR,
        description="; ".join(wrong) or None,
        metadata=shown({name.replace("_", " "): value for name, value in metadata.items()}),
    )
