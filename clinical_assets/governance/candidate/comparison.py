"""Is the candidate better than what serves now? Both models on the same holdout rows, with paired differences.

What belongs here: finding rows that neither model learned from, and comparing. What does not: the verdict on
non-inferiority, which is the performance gate's.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from clinical_assets.cohorts.tables import CASE_WEIGHT, KEPT_TOGETHER
from clinical_assets.foundation.errors import ClinicalAssetsError, InsufficientData
from clinical_assets.foundation.types import FloatArray, IntArray
from clinical_assets.governance.candidate.candidate import ReleaseCandidate, opponent_of
from clinical_assets.modelling.bundle.bundle import Bundle
from clinical_assets.modelling.champion import champion_pointer
from clinical_assets.modelling.evaluation.evaluation import evaluate
from clinical_assets.modelling.table.resampled import drawn_units, ratio
from clinical_assets.modelling.table.together import repeated_units
from clinical_assets.modelling.trainings.reference import ReferenceMissing, case_weights, read_reference
from clinical_assets.statistics.calibration import calibration
from clinical_assets.statistics.decisions import net_benefit
from clinical_assets.statistics.discrimination import discrimination
from clinical_assets.statistics.discrimination.discrimination import compare_auroc
from clinical_assets.statistics.uncertainty.bootstrap import WeightedStatistic, bootstrap
from clinical_assets.statistics.uncertainty.intervals import Estimate

if TYPE_CHECKING:
    import polars as pl


# Which way is better; None has an ideal in the middle.
MEASURES: dict[str, str] = {
    "auroc": "higher is better",
    "brier": "lower is better",
    "net_benefit": "higher is better",
    "expected_cost": "lower is better",
    "calibration_intercept": "0 is ideal",
    "calibration_slope": "1 is ideal",
    "observed_expected_ratio": "1 is ideal",
}
# Above this many rows fewer resamples give intervals that are as good for a reader, in a tenth of the time.
_MANY, _RESAMPLES, _FEW_RESAMPLES = 20_000, 1000, 200


class ComparisonError(ClinicalAssetsError):
    """Models that cannot be compared on the same rows."""


@dataclass(frozen=True)
class MeasurePair:
    """One measure of both models on the same rows.

    Attributes
    ----------
    name, reading : str
        Such as ``auroc`` and "higher is better".
    candidate, champion : Estimate or None
        With 95 % intervals of their own; None where the rows cannot support them.
    difference : Estimate or None
        Candidate minus champion with a paired 95 % interval; 0 means no difference.
    reason : str or None
        Why a number is missing.
    """

    name: str
    reading: str
    candidate: Estimate | None
    champion: Estimate | None
    difference: Estimate | None
    reason: str | None


@dataclass(frozen=True)
class Comparison:
    """What comparing came to.

    Attributes
    ----------
    champion : str or None
        Digest of the model compared with; None when there is none.
    status : "compared", "no champion" or "insufficient"
    statement : str
        One sentence for a person.
    n, events, left_out : int
        Rows compared on; holdout rows left out because the champion learned from them or cannot score them.
    threshold : float or None
        At which net benefit and cost are counted, the candidate's, for both models.
    measures : tuple of MeasurePair
    notes : tuple of str
        What a reader must know to read the numbers.
    """

    champion: str | None
    status: str
    statement: str
    n: int = 0
    events: int = 0
    left_out: int = 0
    threshold: float | None = None
    measures: tuple[MeasurePair, ...] = ()
    notes: tuple[str, ...] = ()


def compare_with_champion(candidate: ReleaseCandidate) -> Comparison:
    """Both models on the candidate's holdout rows that the champion did not learn from.

    A candidate that is the champion already is compared with the one that served before it, so that its dossier says
    the same before and after its promotion.
    """
    digest = opponent_of(candidate)
    if digest is None:
        return Comparison(None, "no champion", "No champion yet: there is nothing to compare with.")
    try:
        return _compared(candidate, digest)
    except (ComparisonError, InsufficientData) as error:
        return Comparison(digest, "insufficient", error.message)


def _compared(candidate: ReleaseCandidate, digest: str) -> Comparison:
    champion = champion_pointer.bundle_of(candidate.settings, digest)
    spec, ours = candidate.spec, candidate.bundle.description
    for name in ("classes", "action_from"):
        here, there = getattr(ours, name), getattr(champion.description, name)
        if here != there:
            raise ComparisonError(
                f"The models foretell different things: {name} is {here} here and {there} in the champion."
            )
    rows, left_out, notes = _common_rows(candidate, champion)
    if rows.is_empty():
        raise ComparisonError("No holdout row is left that the champion can score and did not learn from.")
    y = (rows["outcome"].to_numpy() >= ours.action_from).astype(np.int64)
    risks = rows["risk"].to_numpy().astype(np.float64), rows["champion_risk"].to_numpy().astype(np.float64)
    weights = case_weights(rows, candidate.bundle.feature_columns)
    subject = spec.subject_of(spec.subject_table)
    groups = repeated_units(rows, subject=subject)
    seed, n_resamples = spec.modelling.search.seed, _RESAMPLES if rows.height <= _MANY else _FEW_RESAMPLES
    evaluated = [
        evaluate(
            y,
            risk,
            decisions=spec.decisions,
            groups=groups,
            weights=weights,
            seed=seed,
            n_resamples=n_resamples,
            leave_out=frozenset({"auprc", "ici", "curves"}),
        )
        for risk in risks
    ]
    threshold = spec.decisions.costs.threshold
    statistics = _statistics(y, threshold=threshold, costs=spec.decisions.costs)
    measures = []
    for name, reading in MEASURES.items():
        reasons = [found.insufficient[name] for found in evaluated if name in found.insufficient]
        difference = None
        if not reasons:
            try:
                difference = _difference(name, statistics[name], y, *risks, groups, weights, seed=seed, n=n_resamples)
            except InsufficientData as error:
                reasons.append(error.message)
        ours_now, theirs = (found.metrics.get(name) for found in evaluated)
        measures.append(MeasurePair(name, reading, ours_now, theirs, difference, reasons[0] if reasons else None))
    return Comparison(
        champion=digest,
        status="compared",
        statement=f"Both models on the same {y.size} holdout rows with {int(y.sum())} events; differences are "
        "candidate minus champion, on the same resamples of the same rows.",
        n=int(y.size),
        events=int(y.sum()),
        left_out=left_out,
        threshold=threshold,
        measures=tuple(measures),
        notes=tuple(notes),
    )


def _common_rows(candidate: ReleaseCandidate, champion: Bundle) -> tuple[pl.DataFrame, int, list[str]]:
    """The candidate's holdout with ``champion_risk`` beside its own ``risk``, what was left out, and what to note."""
    import polars as pl

    spec = candidate.spec
    key, subject, notes = list(spec.key), spec.subject_of(spec.subject_table), []
    theirs, ours = champion.description.provenance, candidate.bundle.description.provenance
    with candidate.warehouse.reader() as connection:
        try:
            held = read_reference(connection, candidate.digest, part="holdout")
        except ReferenceMissing as error:
            raise ComparisonError(f"The candidate's holdout rows are not kept: {error.message}") from error
        try:
            learned = read_reference(connection, champion.digest, part="train").select(subject).unique()
        except ReferenceMissing:
            learned = None
            notes.append(
                "The champion's training rows are not in this warehouse. Both models set subjects apart by the same "
                "hash, so their holdouts agree unless the share was changed; the champion may look better than it is."
            )
        if ours.features_sql_digest == theirs.features_sql_digest:
            scored = held.select(*key, *champion.feature_columns)
        else:
            notes.append(
                "The feature SQL differs: the champion's features were made by its own statement from the validated "
                "tables as they are now."
            )
            scored = connection.execute(champion.statement).pl().select(*key, *champion.feature_columns)
    if ours.outcome_sql_digest != theirs.outcome_sql_digest:
        notes.append("The outcome SQL differs: both models are judged by the candidate's outcome.")
    rows = held if learned is None else held.join(learned, on=subject, how="anti", nulls_equal=True)
    if learned is not None and rows.height < held.height:
        notes.append(f"{held.height - rows.height} holdout rows left out: the champion learned from their subjects.")
    scored = scored.select(*key, pl.Series("champion_risk", champion.action_risk(scored)))
    # Both as served now: risks that an earlier version kept come from the fitted pipeline.
    served = rows.with_columns(pl.Series("risk", candidate.bundle.action_risk(rows)))
    weight = [CASE_WEIGHT] if case_weights(rows, candidate.bundle.feature_columns) is not None else []
    together = [KEPT_TOGETHER] if spec.group is not None and KEPT_TOGETHER in served.columns else []
    wanted = dict.fromkeys((*key, subject, "outcome", *weight, *together, "risk"))
    found = served.select(*wanted).join(scored, on=key, nulls_equal=True)
    if found.height < rows.height:
        notes.append(f"{rows.height - found.height} holdout rows left out: they are no longer in the validated tables.")
    return found.sort(key), held.height - found.height, notes


Make = Callable[[FloatArray], "WeightedStatistic"]


def _statistics(y: IntArray, *, threshold: float, costs: Any) -> dict[str, Make]:
    def cost(p: FloatArray) -> WeightedStatistic:
        each = np.where(p >= threshold, costs.false_positive * (1 - y), costs.false_negative * y)
        return ratio(each.astype(np.float64), np.ones(y.size))()

    return {
        "auroc": lambda p: discrimination.auroc_statistic(y, p),
        "brier": lambda p: calibration.brier_statistic(y, p),
        "net_benefit": lambda p: net_benefit.net_benefit_statistic(y, p, threshold=threshold),
        "expected_cost": cost,
        "calibration_intercept": lambda p: calibration.calibration_intercept_statistic(y, p),
        "calibration_slope": lambda p: calibration.calibration_slope_statistic(y, p),
        "observed_expected_ratio": lambda p: calibration.observed_expected_statistic(y, p),
    }


def _difference(
    name: str,
    make: Make,
    y: IntArray,
    ours: FloatArray,
    theirs: FloatArray,
    groups: IntArray | None,
    weights: FloatArray | None,
    *,
    seed: int,
    n: int,
) -> Estimate:
    """Candidate minus champion: DeLong's paired test for the AUROC of independent rows, else a paired bootstrap."""
    groups = drawn_units(y.size, groups, weights)
    if name == "auroc" and groups is None:
        return compare_auroc(y, ours, theirs).difference
    first, second = make(ours), make(theirs)
    found = bootstrap(
        lambda counts: first(counts) - second(counts),
        y.size,
        events=float(y.sum()),
        weights=weights,
        groups=groups,
        n_resamples=n,
        seed=seed,
    )
    return replace(found, n=int(y.size))
