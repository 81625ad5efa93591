"""Is the candidate better than what serves now? Both models on the same holdout rows, with paired differences.

What belongs here: finding rows that neither model learned from, and comparing. What does not: the verdict on
non-inferiority, which is the performance gate's.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

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


def differences_from(
    candidate: ReleaseCandidate, digest: str, *, level: float, measures: Collection[str] = ("auroc", "net_benefit")
) -> Comparison:
    """Candidate minus another model on the same rows, with intervals of any level; nothing about either alone.

    Parameters
    ----------
    candidate : ReleaseCandidate
        Whose holdout it is.
    digest : str
        Of the other model's bundle, which served or serves.
    level : float in (0, 1)
        Of the two-sided intervals. Where they rest on resamples they are normal, with the resamples' spread: so few
        resamples have no percentiles that far out.
    measures : collection of str
        Of `MEASURES`.

    Raises
    ------
    ChampionError, BundleError
        The other model's bundle is not there or was changed.
    """
    try:
        paired = _paired(candidate, digest)
    except (ComparisonError, InsufficientData) as error:
        return Comparison(digest, "insufficient", error.message)
    threshold = candidate.spec.decisions.costs.threshold
    statistics = _statistics(paired.y, threshold=threshold, costs=candidate.spec.decisions.costs)
    pairs = []
    for name in measures:
        difference, reason = None, None
        try:
            difference = _difference(name, statistics[name], paired, level=level)
        except InsufficientData as error:
            reason = error.message
        pairs.append(MeasurePair(name, MEASURES[name], None, None, difference, reason))
    return replace(_described(digest, paired, threshold), measures=tuple(pairs))


@dataclass(frozen=True)
class _Paired:
    """Rows that both models score: outcomes, both risks, units of resampling, weights, and what to know of them."""

    y: IntArray
    risks: tuple[FloatArray, FloatArray]
    groups: IntArray | None
    weights: FloatArray | None
    left_out: int
    notes: tuple[str, ...]
    seed: int

    @property
    def n_resamples(self) -> int:
        return _RESAMPLES if self.y.size <= _MANY else _FEW_RESAMPLES


def _paired(candidate: ReleaseCandidate, digest: str) -> _Paired:
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
    subject = spec.subject_of(spec.subject_table)
    return _Paired(
        y=(rows["outcome"].to_numpy() >= ours.action_from).astype(np.int64),
        risks=(rows["risk"].to_numpy().astype(np.float64), rows["champion_risk"].to_numpy().astype(np.float64)),
        groups=repeated_units(rows, subject=subject),
        weights=case_weights(rows, candidate.bundle.feature_columns),
        left_out=left_out,
        notes=tuple(notes),
        seed=spec.modelling.search.seed,
    )


def _compared(candidate: ReleaseCandidate, digest: str) -> Comparison:
    spec, paired = candidate.spec, _paired(candidate, digest)
    y = paired.y
    evaluated = [
        evaluate(
            y,
            risk,
            decisions=spec.decisions,
            groups=paired.groups,
            weights=paired.weights,
            seed=paired.seed,
            n_resamples=paired.n_resamples,
            leave_out=frozenset({"auprc", "ici", "curves"}),
        )
        for risk in paired.risks
    ]
    threshold = spec.decisions.costs.threshold
    statistics = _statistics(y, threshold=threshold, costs=spec.decisions.costs)
    measures = []
    for name, reading in MEASURES.items():
        reasons = [found.insufficient[name] for found in evaluated if name in found.insufficient]
        difference = None
        if not reasons:
            try:
                difference = _difference(name, statistics[name], paired)
            except InsufficientData as error:
                reasons.append(error.message)
        ours_now, theirs = (found.metrics.get(name) for found in evaluated)
        measures.append(MeasurePair(name, reading, ours_now, theirs, difference, reasons[0] if reasons else None))
    return replace(_described(digest, paired, threshold), measures=tuple(measures))


def _described(digest: str, paired: _Paired, threshold: float) -> Comparison:
    n, events = int(paired.y.size), int(paired.y.sum())
    return Comparison(
        champion=digest,
        status="compared",
        statement=f"Both models on the same {n} holdout rows with {events} events; differences are "
        "candidate minus champion, on the same resamples of the same rows.",
        n=n,
        events=events,
        left_out=paired.left_out,
        threshold=threshold,
        notes=paired.notes,
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


def _difference(name: str, make: Make, paired: _Paired, *, level: float | None = None) -> Estimate:
    """Candidate minus champion: DeLong's paired test for the AUROC of independent rows, else a paired bootstrap.

    Without a level 95 % and percentiles; with one, Student's, or normal intervals with the spread of the resamples.
    """
    y, (ours, theirs) = paired.y, paired.risks
    groups = drawn_units(y.size, paired.groups, paired.weights)
    if name == "auroc" and groups is None:
        reference: Literal["normal", "t"] = "normal" if level is None else "t"
        return compare_auroc(y, ours, theirs, level=level or 0.95, reference=reference).difference
    first, second = make(ours), make(theirs)
    found = bootstrap(
        lambda counts: first(counts) - second(counts),
        y.size,
        events=float(y.sum()),
        weights=paired.weights,
        groups=groups,
        n_resamples=paired.n_resamples,
        seed=paired.seed,
        interval="percentile" if level is None else "normal",
        level=level or 0.95,
    )
    return replace(found, n=int(y.size))
