"""What a training hands on: models, scores, estimates and findings, and the same as JSON.

What belongs here: the shape of the result and its two serial forms. What does not: computing any of it (``training``).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from clinical_assets.foundation.canonical import canonical_json, parts_digest, plain
from clinical_assets.modelling.evaluation.evaluation import Evaluation
from clinical_assets.modelling.evaluation.subgroups import SubgroupRow
from clinical_assets.modelling.evaluation.thresholds import ThresholdDecision
from clinical_assets.modelling.leakage.leak import Leak
from clinical_assets.modelling.search.fitting import FittedModel
from clinical_assets.modelling.search.selection import Selection
from clinical_assets.modelling.table.findings import Finding
from clinical_assets.modelling.table.sample_size import SampleSize
from clinical_assets.statistics.calibration.smooth_calibration import CalibrationPlot
from clinical_assets.statistics.decisions.net_benefit import DecisionCurve
from clinical_assets.statistics.uncertainty.intervals import Estimate

if TYPE_CHECKING:
    import polars as pl


@dataclass(frozen=True)
class CandidateResult:
    """One candidate's nested estimate.

    Attributes
    ----------
    metrics, insufficient : dict
        As in ``evaluation.Evaluation``, from out-of-fold risks of all training rows.
    settings : tuple of dict
        Parameters and imbalance strategy that each outer fold's search chose.
    """

    name: str
    metrics: dict[str, Estimate]
    insufficient: dict[str, str]
    settings: tuple[dict[str, Any], ...]


@dataclass(frozen=True)
class Counts:
    """Rows and events (class `action_from` or above) in one part of the cohort; `by_class` follows the classes."""

    n: int
    events: int
    by_class: tuple[int, ...]


@dataclass(frozen=True)
class TrainingResult:
    """Everything a training found out.

    Attributes
    ----------
    cohort, synthetic, classes, action_from, data_digest, seed
        What was trained on.
    total, train, holdout : Counts
    candidates : tuple of CandidateResult
        Nested estimates, in the order of the description.
    selection : Selection
        The winner and why.
    model : FittedModel
        The winner, refitted on all training rows and recalibrated.
    out_of_fold : polars.DataFrame
        Training rows in key order: key, subject, ``outcome``, ``outer_fold``, ``raw_risk`` (two classes), ``risk`` (of
        class `action_from` or above, what the procedure would have served) and with more classes ``probability_<k>``.
    candidate_scores : polars.DataFrame
        ``candidate`` and the same columns for every candidate, so that the figures of those that lost can be checked.
        Follows from what enters the digest, and does not enter it itself.
    holdout_scores : polars.DataFrame
        As `out_of_fold` for the holdout, scored by `model`; no ``outer_fold``.
    evaluation : Evaluation
        The report on the holdout, made once; `metrics` are its estimates.
    threshold : ThresholdDecision
        From the out-of-fold risks of the winner: they are several times as many as the holdout's.
    leakage : tuple of Leak
        Suspicions that did not stop the training.
    warnings : tuple of Finding
    trials : polars.DataFrame
        Every setting tried; see ``search.trials_frame``. Its column ``seconds`` is not content.
    subgroups : tuple of SubgroupRow
    sample_size : SampleSize
    profile : dict
        Seconds by stage; not content.
    search_key : str
        Digest of all that its searches depend on; see ``kept_search``. Not content.
    taken_over : tuple of str
        Candidates whose search was not fitted again, because an earlier training had made the same. Not content.
    """

    cohort: str
    synthetic: bool
    classes: tuple[str, ...]
    action_from: int
    data_digest: str
    seed: int
    total: Counts
    train: Counts
    holdout: Counts
    candidates: tuple[CandidateResult, ...]
    selection: Selection
    model: FittedModel
    out_of_fold: pl.DataFrame
    candidate_scores: pl.DataFrame
    holdout_scores: pl.DataFrame
    evaluation: Evaluation
    threshold: ThresholdDecision
    leakage: tuple[Leak, ...]
    warnings: tuple[Finding, ...]
    trials: pl.DataFrame
    subgroups: tuple[SubgroupRow, ...]
    sample_size: SampleSize
    profile: dict[str, float]
    search_key: str = ""
    taken_over: tuple[str, ...] = ()

    @property
    def selected(self) -> str:
        """Name of the winner."""
        return self.selection.selected

    @property
    def n(self) -> int:
        """Rows with a known outcome."""
        return self.total.n

    @property
    def events(self) -> int:
        """Events among them."""
        return self.total.events

    @property
    def metrics(self) -> dict[str, Estimate]:
        """The holdout's estimates by name."""
        return self.evaluation.metrics

    @property
    def insufficient(self) -> dict[str, str]:
        """What the holdout cannot support, with the reason."""
        return self.evaluation.insufficient

    @property
    def decision_curve(self) -> DecisionCurve | None:
        """Net benefit over the threshold range, on the holdout."""
        return self.evaluation.decision_curve

    @property
    def calibration(self) -> CalibrationPlot | None:
        """Points of the calibration plot, on the holdout."""
        return self.evaluation.calibration

    def to_json(self) -> dict[str, Any]:
        """Plain values without times, curves and single records; infinite numbers become null."""
        decision = self.threshold
        return {
            "cohort": self.cohort,
            "synthetic": self.synthetic,
            "n": self.n,
            "events": self.events,
            "classes": list(self.classes),
            "action_from": self.action_from,
            "data_digest": self.data_digest,
            "seed": self.seed,
            "train": plain(self.train),
            "holdout": plain(self.holdout),
            "candidates": plain(self.candidates),
            "selected": self.selected,
            "selection": plain(self.selection),
            "model": {
                "name": self.model.name,
                "parameters": plain(self.model.parameters),
                "imbalance": self.model.imbalance,
                "recalibration": self.model.recalibration.to_json(),
                "feature_columns": list(self.model.feature_columns),
            },
            "metrics": plain(self.metrics),
            "insufficient": dict(self.insufficient),
            "threshold": {
                "value": decision.threshold,
                "optimum": decision.curve.optimum_threshold,
                "optimum_low": decision.curve.optimum_low,
                "optimum_high": decision.curve.optimum_high,
                "cost": decision.curve.theoretical_cost,
                "optimum_cost": plain(decision.curve.optimum_cost),
                "net_benefit": plain(decision.net_benefit),
                "advantage": plain(decision.advantage),
            },
            "business_table": plain(decision.business_table),
            "tiers": plain(decision.tiers),
            "tier_cost": decision.tier_cost,
            "leakage": plain(self.leakage),
            "warnings": plain(self.warnings),
            "subgroups": plain(self.subgroups),
            "sample_size": plain(self.sample_size),
        }

    @cached_property
    def digest(self) -> str:
        """SHA-256 of all content: equal for two trainings from the same description, rows and seed on one machine."""
        frames = (self.out_of_fold, self.holdout_scores, self.trials.drop("seconds"))
        return parts_digest(canonical_json(self.to_json()).encode(), *(frame.write_json().encode() for frame in frames))
