"""How a champion does on outcomes that have become known, against what its card promised.

What belongs here: estimates on matured records, by arm where people acted on scores, and the comparison with the card.
What does not: what to do about it (``updates``).

Alerts that lead to treatment change the outcomes that they foretold: an alert that was acted upon and prevented its
event looks like a false alarm. Both arms are therefore shown, and neither alone is the model's truth.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from clinical_assets.cohorts.governance import Monitoring
from clinical_assets.cohorts.spec import CohortSpec
from clinical_assets.foundation.canonical import plain
from clinical_assets.foundation.errors import InsufficientData
from clinical_assets.foundation.types import FloatArray
from clinical_assets.modelling.bundle.bundle import Bundle
from clinical_assets.modelling.evaluation.evaluation import Evaluation, evaluate
from clinical_assets.modelling.evaluation.followed import FollowedRisks, with_the_censored
from clinical_assets.monitoring.performance.followed_records import followed_risks, known_records, weights_of
from clinical_assets.monitoring.performance.label_free import LabelFree
from clinical_assets.statistics.calibration.calibration import calibration_intercept, calibration_slope
from clinical_assets.statistics.calibration.in_the_large import in_the_large_p
from clinical_assets.statistics.uncertainty.effective_size import effective_weights

if TYPE_CHECKING:
    import polars as pl


PerformanceVerdict = Literal["as promised", "worse", "insufficient"]
Arm = Literal["all", "acted upon", "not acted upon"]
SHOWN = (
    "auroc",
    "brier",
    "calibration_intercept",
    "calibration_slope",
    "observed_risk",
    "observed_expected_ratio",
    "net_benefit",
    "sensitivity",
    "specificity",
    "ppv",
    "alert_rate",
)
#: Larger is better for these: "worse" means below the card by more than chance.
_HIGHER_IS_BETTER = ("auroc", "net_benefit")
_CALIBRATION = {"calibration_intercept": 0.0, "calibration_slope": 1.0}
_ROLLING_PARTS = 6
_LEAST_ROLLING = 50
#: Two comparisons with the card and two with perfect calibration: their joint level stays at 5 %.
_COMPARISONS = 4


@dataclass(frozen=True)
class PerformanceReport:
    """What matured outcomes say about a champion.

    Attributes
    ----------
    verdict : "as promised", "worse" or "insufficient"
    summary : str
        One or two sentences for a person.
    n, events : int
        Records with a known outcome, and events among them.
    expected : float
        Events that the served risks foretold for them; where some were censored, for as many of all at risk.
    until : str or None
        When the last outcome became known, UTC; None before any.
    arms : mapping of arm to Evaluation
        ``all``, and where anybody said so ``acted upon`` and ``not acted upon``.
    card : mapping
        The card's estimates of the same measures.
    worse : tuple of str
        Measures that are worse than promised by more than chance.
    rolling : tuple of dict
        Calibration by consecutive parts of the records in the order of their scoring.
    unlabelled : LabelFree or None
        Expected performance without labels, of all scored records.
    """

    verdict: PerformanceVerdict
    summary: str
    n: int
    events: int
    expected: float
    until: str | None
    arms: Mapping[Arm, Evaluation]
    card: Mapping[str, Mapping[str, Any]]
    worse: tuple[str, ...]
    rolling: tuple[dict[str, Any], ...]
    unlabelled: LabelFree | None

    def metrics(self) -> dict[str, float]:
        """Numbers that are plotted over time; what cannot be computed is left out."""
        found: dict[str, float] = {"outcomes": float(self.n), "events": float(self.events)}
        found |= {"expected events": self.expected} if self.n else {}
        if "all" in self.arms:
            found |= {name: self.arms["all"].metrics[name].value for name in SHOWN if name in self.arms["all"].metrics}
        if self.unlabelled is not None:
            expected = self.unlabelled.to_json()
            names = ("event_rate", "alert_rate", "auroc", "net_benefit")
            found |= {
                f"expected {name}, without labels": expected[name] for name in names if expected[name] is not None
            }
        return {name: float(value) for name, value in found.items() if math.isfinite(value)}

    def rows(self) -> list[dict[str, Any]]:
        """One row per arm and measure, with the card's value beside it."""
        rows = []
        for arm, judged in self.arms.items():
            for name in SHOWN:
                if name not in judged.metrics:
                    continue
                found, promised = judged.metrics[name], self.card.get(name, {})
                rows.append(
                    {
                        "arm": arm,
                        "measure": name,
                        "value": found.value,
                        "ci_low": found.ci_low,
                        "ci_high": found.ci_high,
                        "n": found.n,
                        "events": found.events,
                        "card": promised.get("value"),
                        "card ci_low": promised.get("ci_low"),
                        "card ci_high": promised.get("ci_high"),
                        "worse": name in self.worse if arm == "all" else None,
                    }
                )
        return rows

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "n": self.n,
            "events": self.events,
            "expected_events": self.expected,
            "until": self.until,
            "worse": list(self.worse),
            "measures": plain(self.rows()),
            "insufficient": {arm: dict(judged.insufficient) for arm, judged in self.arms.items()},
            "rolling": plain(self.rolling),
            "without_labels": None if self.unlabelled is None else self.unlabelled.to_json(),
        }


def performance_report(
    rows: pl.DataFrame | None,
    spec: CohortSpec,
    bundle: Bundle,
    *,
    card: Mapping[str, Any],
    unlabelled: LabelFree | None,
    seed: int = 0,
) -> PerformanceReport:
    """Judge a champion by matured outcomes.

    Parameters
    ----------
    rows : polars.DataFrame or None
        As ``windows.followed_records`` gives them: those censored before the horizon have no outcome.
    spec : CohortSpec
        The cohort's description.
    bundle : Bundle
        The champion that scored the rows.
    card : mapping
        The training's results: ``metrics`` are estimates on its holdout.
    unlabelled : LabelFree or None
        Expected performance of the newest records, whose outcomes are not known.
    seed : int
        Of the bootstrap.

    Returns
    -------
    PerformanceReport
        ``worse`` where a measure is below the card, or calibration off, by more than chance at a joint level of 5 %;
        ``insufficient`` below the cohort's ``monitoring.minimum_outcomes`` and ``minimum_events``. The number of events
        is judged by an exact test without a minimum of events: none where a hundred were foretold is much to know.
        Where some were censored, measures weigh the others for them, and observed over expected is the Kaplan-Meier or
        Aalen-Johansen risk over the mean risk of all.
    """
    limits = spec.monitoring
    promised: Mapping[str, Mapping[str, Any]] = card["metrics"]
    everybody = rows
    rows = None if everybody is None else known_records(everybody, spec)
    if everybody is None or rows is None or not rows.height:
        words = "No outcome is known yet. What is shown without labels takes the risks for right; it is an estimate."
        return PerformanceReport("insufficient", words, 0, 0, 0.0, None, {}, promised, (), (), unlabelled)
    action_from = bundle.description.action_from
    event = (rows["outcome"].to_numpy() >= action_from).astype(np.int64)
    risk = rows["risk"].to_numpy()
    subject = spec.subject_of(spec.subject_table)
    groups = (
        None if rows[subject].n_unique() == rows.height else rows[subject].rank("dense").to_numpy().astype(np.int64)
    )
    weights, followed = weights_of(rows), followed_risks(everybody, spec)
    arms: dict[Arm, Evaluation] = {}
    for arm, chosen in _arms(rows).items():
        if arm != "all" and chosen.sum() < limits.minimum_events:
            continue
        arms[arm] = evaluate(
            event[chosen],
            risk[chosen],
            decisions=spec.decisions,
            groups=None if groups is None else groups[chosen],
            weights=None if weights is None else weights[chosen],
            seed=seed,
            n_resamples=500,
            leave_out=frozenset({"auprc", "ici", "curves"}),
        )
        if followed is not None:
            arms[arm] = with_the_censored(arms[arm], followed.people(_arms(everybody)[arm]))
    n, events, censored = int(event.size), int(event.sum()), everybody.height - rows.height
    expected = float(np.average(risk, weights=weights)) * n
    enough = n >= limits.minimum_outcomes and min(events, n - events) >= limits.minimum_events
    worse = _worse(arms["all"], promised) if enough else ()
    if not enough and n >= limits.minimum_outcomes:
        worse = _wrong_in_the_large(
            rows, event, risk, subject=subject, least=limits.minimum_outcomes, followed=followed
        )
    return PerformanceReport(
        verdict="worse" if worse else "as promised" if enough else "insufficient",
        summary=_summary(n, events, expected, worse, arms, enough=enough, limits=limits, censored=censored),
        n=n,
        events=events,
        expected=expected,
        until=str(rows["known_at"].max()),
        arms=arms,
        card=promised,
        worse=worse,
        rolling=_rolling(rows["scored_at"].to_list(), event, risk, weights),
        unlabelled=unlabelled,
    )


def _wrong_in_the_large(
    rows: pl.DataFrame,
    event: np.ndarray,
    risk: np.ndarray,
    *,
    subject: str,
    least: int,
    followed: FollowedRisks | None,
) -> tuple[str, ...]:
    """The one measure that can be judged on few events.

    Of a subject with several units the newest counts, and nobody on whom somebody acted: what was prevented is no error
    of the model. Among people of whom some were censored, those with an event are seen more often than the others, so
    that the exact test is one of no events at all.
    """
    import polars as pl

    newest = rows.with_row_index("_place").sort("scored_at", "_place").unique(subject, keep="last")
    places = newest.filter(pl.col("acted").fill_null(value=False).not_())["_place"].to_numpy()
    if places.size < least or (followed is not None and event[places].any()):
        return ()
    return ("observed_expected_ratio",) if in_the_large_p(event[places], risk[places]) < 0.05 / _COMPARISONS else ()


def _arms(rows: pl.DataFrame) -> dict[Arm, np.ndarray]:
    acted = np.array(rows["acted"].to_list(), dtype=object)
    arms: dict[Arm, np.ndarray] = {"all": np.ones(rows.height, dtype=bool)}
    if any(value is True for value in acted):
        arms["acted upon"] = np.array([value is True for value in acted])
        arms["not acted upon"] = ~arms["acted upon"]
    return arms


def _worse(judged: Evaluation, promised: Mapping[str, Mapping[str, Any]]) -> tuple[str, ...]:
    """Measures that differ to the bad side by more than chance, Bonferroni over the comparisons made.

    Standard errors are read from 95 % intervals: card and window are independent samples.
    """
    from statistics import NormalDist

    limit = NormalDist().inv_cdf(1 - 0.05 / (2 * _COMPARISONS))
    found = []
    for name in _HIGHER_IS_BETTER:
        now, then = judged.metrics.get(name), promised.get(name)
        if now is None or then is None or then.get("value") is None:
            continue
        ends = (now.ci_low, now.ci_high, then.get("ci_low"), then.get("ci_high"))
        if any(end is None or not math.isfinite(end) for end in ends):
            continue
        spread = math.hypot(now.ci_high - now.ci_low, then["ci_high"] - then["ci_low"]) / (2 * 1.959964)
        if spread > 0 and (then["value"] - now.value) / spread > limit:
            found.append(name)
    for name, ideal in _CALIBRATION.items():
        now = judged.metrics.get(name)
        if now is None or not all(math.isfinite(end) for end in (now.ci_low, now.ci_high)):
            continue
        spread = (now.ci_high - now.ci_low) / (2 * 1.959964)
        if spread > 0 and abs(now.value - ideal) / spread > limit:
            found.append(name)
    return tuple(found)


def _rolling(
    scored_at: Sequence[str], event: np.ndarray, risk: np.ndarray, weights: FloatArray | None
) -> tuple[dict[str, Any], ...]:
    """Calibration of consecutive parts, at least 50 records each; a part without both outcomes says so."""
    parts = min(_ROLLING_PARTS, event.size // _LEAST_ROLLING)
    if parts < 2:
        return ()
    order = np.argsort(np.asarray(scored_at), kind="stable")
    rolled = []
    for part in np.array_split(order, parts):
        row: dict[str, Any] = {
            "from": scored_at[part[0]][:19],
            "until": scored_at[part[-1]][:19],
            "n": int(part.size),
            "events": int(event[part].sum()),
        }
        each = None if weights is None else effective_weights(weights[part])
        for name, estimate in (("intercept", calibration_intercept), ("slope", calibration_slope)):
            try:
                found = estimate(event[part], risk[part], weights=each)
            except InsufficientData as error:
                row[name] = {"insufficient": error.message}
            else:
                row[name] = {"value": found.value, "ci_low": found.ci_low, "ci_high": found.ci_high}
        rolled.append(row)
    return tuple(rolled)


def _summary(
    n: int,
    events: int,
    expected: float,
    worse: Sequence[str],
    arms: Mapping[Arm, Evaluation],
    *,
    enough: bool,
    limits: Monitoring,
    censored: int,
) -> str:
    if not enough and worse:
        words = (
            f"{n} outcomes hold {events} events where {expected:.1f} were expected: chance does not explain that. "
            "Look at the outcomes first, then at the model; for other measures there are too few."
        )
    elif not enough:
        words = (
            f"{n} outcomes with {events} events are too few to judge by; {limits.minimum_outcomes} with "
            f"{limits.minimum_events} events and non-events are asked for. Read the intervals."
        )
    elif worse:
        names = ", ".join(name.replace("_", " ") for name in worse)
        words = f"Worse than promised on {n} outcomes ({events} events): {names}."
    else:
        words = f"As promised on {n} outcomes ({events} events), within chance."
    if censored:
        words += f" {censored} more were censored before the horizon; the others stand for them."
    if "acted upon" in arms:
        words += (
            f" People acted on {arms['acted upon'].n} of these records: what they prevented looks like a false alarm, "
            "so read the arms apart."
        )
    return words
