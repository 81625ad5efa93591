"""Has a batch drifted from the reference of the model that scores it?

What belongs here: which columns are compared, what counts as drift, and what carries it. What does not: measuring one
column (``features``), performance on outcomes, and what to do about drift.

Drift is called where it is both significant and large. Significant: Holm's procedure over the tests of all columns
(values, missing shares, predicted risk) keeps the chance of any false alarm in a report below
``limits.false_alarm_rate``, however the columns depend on each other. Large: an effect reaches its limit. With a
million records everything is significant, and with two hundred a large distance is easily chance: neither alone is
news.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING

from clinical_assets.cohorts.governance import Monitoring
from clinical_assets.monitoring.drift.columns import DriftError, DriftTable
from clinical_assets.monitoring.drift.features import Distances, numeric_distances, text_distances
from clinical_assets.monitoring.drift.report import Carrier, DriftReport, DriftVerdict, FeatureDrift
from clinical_assets.statistics.comparison.homogeneity import detectable_kolmogorov_smirnov, holm

if TYPE_CHECKING:
    import duckdb
    import polars as pl

Key = tuple[int, str]
_USED = ("minimum_n", "psi_limit", "ks_limit", "missing_change_limit", "false_alarm_rate")


def drift_report(
    reference: str | pl.DataFrame | pl.LazyFrame,
    batch: str | pl.DataFrame | pl.LazyFrame,
    *,
    features: Sequence[str],
    importance: Mapping[str, float] | None,
    limits: Monitoring,
    risk: str | None = "risk",
    connection: duckdb.DuckDBPyConnection | None = None,
    workers: int = 2,
) -> DriftReport:
    """Compare all records of a batch with all records of the reference, column by column.

    Parameters
    ----------
    reference, batch : str, polars.DataFrame or polars.LazyFrame
        A relation as SQL names it on ``connection``, or a frame. NULL and NaN are missing. Records are taken as
        independent: where a subject has many, p-values are too small and the limits on size must hold the line.
    features : sequence of str
        Columns to compare: numbers, booleans or text of few values.
    importance : mapping of every feature to a float >= 0, optional
        Mean absolute contribution to the model's log-odds.
    limits : Monitoring
        The cohort's ``spec.monitoring``.
    risk : str, optional
        Column of the predicted risk in both; None leaves it out.
    connection : duckdb.DuckDBPyConnection, optional
        Where relations are found.
    workers : int
        Columns compared at the same time, each in 8 bytes a record; reading one takes about 24 more.

    Raises
    ------
    DriftError
        A column is absent, infinite or of a kind without a distribution; a feature without importance.
    """
    columns = [*features, *([] if risk is None else [risk])]
    if not columns or len(set(columns)) != len(columns):
        raise DriftError("drift needs at least one column, and each once.", cure="Name the features of the bundle.")
    shares = _shares(features, importance)
    tables = (
        DriftTable(reference, connection=connection, what="reference"),
        DriftTable(batch, connection=connection, what="batch"),
    )
    measured = list(_measure(*tables, columns, workers=workers))
    enough = min(table.rows for table in tables) >= limits.minimum_n
    family = _family(measured, limits) if enough else {}
    adjusted = holm(family)
    judged = [
        _judge(
            each,
            limits,
            enough=enough,
            importance=None if shares is None else shares.get(each.name),
            p=adjusted.get((i, "values")),
            missing_p=adjusted.get((i, "missing")),
        )
        for i, each in enumerate(measured)
    ]
    detectable = None
    if family:
        level = limits.false_alarm_rate / len(family)
        least = detectable_kolmogorov_smirnov(tables[0].rows, tables[1].rows, level=level)
        detectable = max(limits.ks_limit, least)
    found = tuple(judged if risk is None else judged[:-1])
    prediction = None if risk is None else judged[-1]
    verdict = _overall(judged)
    carriers = _carriers(found)
    return DriftReport(
        verdict=verdict,
        summary=_summary(verdict, found, prediction, carriers, limits, tables[0].rows, tables[1].rows, detectable),
        n_reference=tables[0].rows,
        n_batch=tables[1].rows,
        features=found,
        prediction=prediction,
        carriers=carriers,
        importance_drifted=None
        if shares is None
        else min(1.0, sum(shares[each.name] for each in found if each.verdict == "drift")),
        tests=len(family),
        detectable_ks=detectable,
        limits={name: float(getattr(limits, name)) for name in _USED},
    )


def _measure(reference: DriftTable, batch: DriftTable, columns: Sequence[str], *, workers: int) -> Iterator[Distances]:
    """Distances of each column; reading goes on in this thread while others compare, never more than ``workers``."""
    waiting: deque[Future[Distances]] = deque()
    with ThreadPoolExecutor(max_workers=workers, thread_name_prefix="drift") as pool:
        for name in columns:
            if len(waiting) >= workers:
                yield waiting.popleft().result()
            waiting.append(pool.submit(_read(reference, batch, name)))
        while waiting:
            yield waiting.popleft().result()


def _read(reference: DriftTable, batch: DriftTable, name: str) -> Callable[[], Distances]:
    sizes = {"n_reference": reference.rows, "n_batch": batch.rows}
    kinds = reference.kind(name), batch.kind(name)
    if "text" in kinds:
        if kinds[0] != kinds[1]:
            raise DriftError(
                f"column {name!r} is a {kinds[0]} in the reference and a {kinds[1]} in the batch.",
                cure="Make both samples with the feature statement of the same bundle.",
            )
        counted = reference.counts(name)
        counted_now = batch.counts(name, known=tuple(counted.by_category))
        return lambda: text_distances(name, counted, counted_now, **sizes)
    values, values_now = reference.numbers(name), batch.numbers(name)
    return lambda: numeric_distances(name, values, values_now, **sizes)


def _shares(features: Sequence[str], importance: Mapping[str, float] | None) -> dict[str, float] | None:
    if importance is None:
        return None
    wrong = [name for name in features if not 0 <= importance.get(name, -1.0) < float("inf")]
    if wrong:
        raise DriftError(
            f"feature {wrong[0]!r} has no importance, or one that is no number of at least 0.",
            cure="Give the mean absolute contribution of every feature, 0 for one the model does not use.",
        )
    total = sum(importance[name] for name in features)
    return {name: importance[name] / total for name in features} if total else None


def _family(measured: Sequence[Distances], limits: Monitoring) -> dict[Key, float]:
    """The tests that are carried out.

    Where nobody's value is missing there is nothing to test (Tarone 1990, doi 10.2307/2531456), and the family is
    smaller by one.
    """
    family: dict[Key, float] = {}
    for i, each in enumerate(measured):
        if each.p is not None and min(each.present_reference, each.present_batch) >= _values_needed(limits):
            family[i, "values"] = each.p
        if each.missing_p is not None and (each.missing_reference or each.missing_batch):
            family[i, "missing"] = each.missing_p
    return family


def _values_needed(limits: Monitoring) -> int:
    """Half the records: a few gaps in a batch that is just large enough must not silence a column."""
    return (limits.minimum_n + 1) // 2


def _judge(
    measured: Distances,
    limits: Monitoring,
    *,
    enough: bool,
    importance: float | None,
    p: float | None,
    missing_p: float | None,
) -> FeatureDrift:
    changed = p is not None and p <= limits.false_alarm_rate
    more_missing = missing_p is not None and missing_p <= limits.false_alarm_rate
    reasons: list[str] = []
    if changed and measured.gap is not None and measured.gap >= limits.ks_limit:
        what = "Kolmogorov-Smirnov distance" if measured.kind == "numeric" else "total variation"
        reasons.append(f"{what} {measured.gap:.3f} reaches the limit {limits.ks_limit:g}")
    psi_limit = max(limits.psi_limit, measured.psi_noise or 0.0)
    # The missing are a bin of the PSI, so that either test can stand behind it.
    if (changed or more_missing) and measured.psi is not None and measured.psi >= psi_limit:
        reasons.append(f"PSI {measured.psi:.3f} reaches the limit {psi_limit:.3g}")
    if more_missing and measured.missing_batch is not None and measured.missing_reference is not None:
        change = measured.missing_batch - measured.missing_reference
        if abs(change) >= limits.missing_change_limit:
            reasons.append(
                f"missing share went from {measured.missing_reference:.1%} to {measured.missing_batch:.1%}, "
                f"the limit is {limits.missing_change_limit:.1%}"
            )
    verdict: DriftVerdict = "drift" if reasons else "stable"
    if not reasons and p is None:
        verdict = "insufficient"
        what, then, now, needed = "records", measured.n_reference, measured.n_batch, limits.minimum_n
        if enough:
            what, then, now = "values", measured.present_reference, measured.present_batch
            needed = _values_needed(limits)
        reasons.append(f"{then:,} {what} in the reference and {now:,} in the batch, at least {needed:,} needed in both")
    return FeatureDrift(measured, verdict, tuple(reasons), p, missing_p, importance)


def _overall(judged: Sequence[FeatureDrift]) -> DriftVerdict:
    verdicts = {each.verdict for each in judged}
    if "drift" in verdicts:
        return "drift"
    return "stable" if "stable" in verdicts else "insufficient"


def _carriers(features: Sequence[FeatureDrift]) -> tuple[Carrier, ...]:
    pull = {
        each.name: (1.0 if each.importance is None else each.importance) * (each.distances.total_variation or 0.0)
        for each in features
        if each.verdict == "drift"
    }
    total = sum(pull.values())
    carriers = [
        Carrier(
            each.name, pull[each.name] / total if total else 0.0, each.importance, each.distances.total_variation or 0.0
        )
        for each in features
        if each.name in pull
    ]
    return tuple(sorted(carriers, key=lambda carrier: -carrier.share))


def _summary(
    verdict: DriftVerdict,
    features: Sequence[FeatureDrift],
    prediction: FeatureDrift | None,
    carriers: Sequence[Carrier],
    limits: Monitoring,
    n_reference: int,
    n_batch: int,
    detectable: float | None,
) -> str:
    if min(n_reference, n_batch) < limits.minimum_n:
        return (
            f"{n_batch:,} records against {n_reference:,} of the reference: fewer than {limits.minimum_n:,} in one of "
            "them, so drift cannot be told from chance."
        )
    if verdict == "insufficient":
        return f"No column has {_values_needed(limits):,} values in both samples: drift cannot be judged."
    parts = []
    if carriers:
        shown = ", ".join(carrier.name for carrier in carriers[:3])
        more = f" and {len(carriers) - 3} more" if len(carriers) > 3 else ""
        parts.append(
            f"{len(carriers)} of {len(features)} features {'drifts' if len(carriers) == 1 else 'drift'}: {shown}{more}."
        )
    elif features:
        parts.append(f"None of {len(features)} features drifts.")
    if prediction is not None:
        said = {"drift": "drifts", "stable": "is stable", "insufficient": "cannot be judged"}[prediction.verdict]
        parts.append(f"The predicted risk {said}.")
    unjudged = sum(each.verdict == "insufficient" for each in features)
    if unjudged:
        some = "1 feature has" if unjudged == 1 else f"{unjudged} features have"
        parts.append(f"{some} too few values to be judged.")
    if detectable is not None and detectable > limits.ks_limit:
        parts.append(
            f"With {n_batch:,} records only a Kolmogorov-Smirnov distance of at least {detectable:.2f} counts, "
            f"above the limit {limits.ks_limit:g}."
        )
    return " ".join(parts)
