"""What a drift report holds, how it is kept as JSON, and which of its numbers are plotted over time.

What belongs here: the results. What does not: reaching them (``drift``), and showing them (``section``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal

from clinical_assets.monitoring.drift.features import BinShare, Distances

DriftVerdict = Literal["stable", "drift", "insufficient"]
# Features whose PSI is plotted one by one; the names must not grow with the table.
FEATURES_PLOTTED = 10


@dataclass(frozen=True)
class FeatureDrift:
    """One column, judged.

    Attributes
    ----------
    distances : Distances
        What was measured.
    verdict : "stable", "drift" or "insufficient"
        Drift is significant in the family of all tests of the report, and large.
    reasons : tuple of str
        For drift, what is large; for insufficient, what is lacking.
    p_adjusted, missing_p_adjusted : float or None
        After Holm; None where the test was not carried out.
    importance : float in [0, 1] or None
        Share of the model's mean absolute contributions; None where not given, and for the predicted risk.
    """

    distances: Distances
    verdict: DriftVerdict
    reasons: tuple[str, ...] = ()
    p_adjusted: float | None = None
    missing_p_adjusted: float | None = None
    importance: float | None = None

    @property
    def name(self) -> str:
        """Name of the column."""
        return self.distances.name

    @property
    def missing_change(self) -> float | None:
        """Missing share of the batch minus that of the reference."""
        now, then = self.distances.missing_batch, self.distances.missing_reference
        return None if now is None or then is None else now - then


@dataclass(frozen=True)
class Carrier:
    """A drifted feature and its part of the drift that reaches the model: importance times total variation, of 1."""

    name: str
    share: float
    importance: float | None
    total_variation: float


@dataclass(frozen=True)
class DriftReport:
    """A batch against the reference of a model.

    Attributes
    ----------
    verdict : "stable", "drift" or "insufficient"
        ``drift`` if a feature or the predicted risk drifts; ``insufficient`` if nothing could be judged.
    summary : str
        One or two sentences for a person.
    n_reference, n_batch : int
        Records; every one was used.
    features : tuple of FeatureDrift
        In the order asked for.
    prediction : FeatureDrift or None
        The predicted risk.
    carriers : tuple of Carrier
        Drifted features, the one that weighs most first; empty without feature drift.
    importance_drifted : float in [0, 1] or None
        Share of the model's contributions that rests on drifted features.
    tests : int
        Tests in the family that the false alarm rate holds for.
    detectable_ks : float or None
        Kolmogorov-Smirnov distance a column without missing values needs in this batch to be called drift: the limit,
        or more where the samples are small.
    limits : mapping
        The limits it was held against.
    """

    verdict: DriftVerdict
    summary: str
    n_reference: int
    n_batch: int
    features: tuple[FeatureDrift, ...]
    prediction: FeatureDrift | None
    carriers: tuple[Carrier, ...]
    importance_drifted: float | None
    tests: int
    detectable_ks: float | None
    limits: Mapping[str, float]

    @property
    def drifted(self) -> tuple[str, ...]:
        """Names of the features that drift."""
        return tuple(each.name for each in self.features if each.verdict == "drift")

    @property
    def unjudged(self) -> tuple[str, ...]:
        """Names of the features whose verdict is ``insufficient``."""
        return tuple(each.name for each in self.features if each.verdict == "insufficient")

    def to_json(self) -> dict[str, Any]:
        """Plain values, without NaN; `from_json` reads them."""
        return {**asdict(self), "limits": dict(self.limits)}

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> DriftReport:
        """The report that `to_json` wrote down."""
        prediction = stored["prediction"]
        return cls(
            **{
                **{each.name: stored[each.name] for each in fields(cls)},
                "features": tuple(_feature(each) for each in stored["features"]),
                "prediction": None if prediction is None else _feature(prediction),
                "carriers": tuple(Carrier(**each) for each in stored["carriers"]),
                "limits": dict(stored["limits"]),
            }
        )

    def metrics(self) -> dict[str, float]:
        """Numbers to plot over time: at most 24 names, the same for every batch of one model.

        A number that could not be had is left out. ``psi.<feature>`` is that of the
        ten most important features, or of the first ten where no importance is known.
        """
        values: dict[str, float | None] = {
            "drift": float(self.verdict == "drift"),
            "records": float(self.n_batch),
            "features_drifted": float(len(self.drifted)),
            "features_insufficient": float(len(self.unjudged)),
            "importance_drifted": self.importance_drifted,
            "psi_max": self._largest("psi"),
            "ks_max": self._largest("kolmogorov_smirnov"),
            "jensen_shannon_max": self._largest("jensen_shannon"),
            "wasserstein_standardised_max": self._largest("wasserstein_standardised"),
        }
        changes = [abs(each.missing_change) for each in self.features if each.missing_change is not None]
        values["missing_change_max"] = max(changes, default=None)
        if self.prediction is not None:
            risk = self.prediction.distances
            values |= {
                "prediction_psi": risk.psi,
                "prediction_ks": risk.kolmogorov_smirnov,
                "prediction_wasserstein": risk.wasserstein,
                "prediction_mean": risk.mean_batch,
            }
        # sorted() is stable: without importances the given order stays.
        for each in sorted(self.features, key=lambda each: -(each.importance or 0.0))[:FEATURES_PLOTTED]:
            values[f"psi.{each.name}"] = each.distances.psi
        return {name: value for name, value in values.items() if value is not None}

    def rows(self) -> list[dict[str, Any]]:
        """One row per column, the predicted risk first, then features by their weight in the model."""
        weighty = sorted(self.features, key=lambda each: -(each.importance or 0.0))
        return [
            {
                "column": each.name,
                "verdict": each.verdict,
                "importance": each.importance,
                "psi": each.distances.psi,
                "kolmogorov_smirnov": each.distances.kolmogorov_smirnov,
                "wasserstein (sd)": each.distances.wasserstein_standardised,
                "missing then": each.distances.missing_reference,
                "missing now": each.distances.missing_batch,
                "p, adjusted": each.p_adjusted,
                "because": "; ".join(each.reasons) or None,
            }
            for each in (*((self.prediction,) if self.prediction is not None else ()), *weighty)
        ]

    def _largest(self, what: str) -> float | None:
        return max((v for each in self.features if (v := getattr(each.distances, what)) is not None), default=None)


def _feature(stored: Mapping[str, Any]) -> FeatureDrift:
    distances = dict(stored["distances"])
    distances["bins"] = tuple(BinShare(**each) for each in distances["bins"])
    return FeatureDrift(**{**stored, "distances": Distances(**distances), "reasons": tuple(stored["reasons"])})
