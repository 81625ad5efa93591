"""One champion, warm: records in, everything that an answer may say out.

What belongs here: running the bundle's statement and model once for the records of several requests, and reading the
result unit by unit. What does not: which champion serves (``champions``), what a caller may see (``answers``).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from clinical_assets.cohorts.spec import CohortSpec
from clinical_assets.modelling.bundle.bundle import Bundle
from clinical_assets.modelling.bundle.bundle_description import FeatureReference
from clinical_assets.modelling.bundle.record_scoring import RecordScorer, TableRows
from clinical_assets.modelling.bundle.scorer import RiskIntervals
from clinical_assets.serving.requests.findings import RecordWarning
from clinical_assets.serving.scoring.labels import FeatureLabel
from clinical_assets.serving.scoring.reasons import Reasons, reasons_of


@dataclass(frozen=True)
class RiskInterval:
    """Where the true risk of a person lies, as far as training rows say it.

    Attributes
    ----------
    low, high : float
        Bounds.
    other_tier_prob : float
        Probability that the true risk lies in another tier.
    """

    low: float
    high: float
    other_tier_prob: float


@dataclass(frozen=True)
class UnitScore:
    """What the model says of one prediction unit.

    Attributes
    ----------
    risk : float
        Served risk of class ``action_from`` or a more severe one, 0 to 1.
    interval : RiskInterval or None
        None where the model does not say how certain it is.
    probabilities : dict or None
        Class to its probability, in the order of the classes; None where there are two, of which the risk tells both.
    is_alert : bool
        At or above the threshold.
    predicted : str
        Of two classes the second one where the risk reaches the threshold; of more, the one that costs
        least, as in a batch.
    tier, action : str
        Of the risk.
    features : dict
        Name to value, in the order of the model; None is missing.
    groups : dict
        Protected attribute to group, as text; None is unknown.
    reasons : Reasons
        Why.
    warnings : tuple of RecordWarning
        What the model's training says about such a record.
    """

    risk: float
    interval: RiskInterval | None
    probabilities: Mapping[str, float] | None
    is_alert: bool
    predicted: str
    tier: str
    action: str
    features: Mapping[str, float | None]
    groups: Mapping[str, str | None]
    reasons: Reasons
    warnings: tuple[RecordWarning, ...]


class ChampionScorer:
    """Scores records by one bundle.

    Parameters
    ----------
    spec : CohortSpec
        The cohort's description.
    bundle : Bundle
        A verified bundle.
    labels : mapping
        Labels of the bundle's features.
    unjudged : sequence of str
        Groups such as ``sex=unknown`` of which the bias gate could not say anything.
    """

    def __init__(
        self,
        spec: CohortSpec,
        bundle: Bundle,
        *,
        labels: Mapping[str, FeatureLabel],
        unjudged: Sequence[str] = (),
    ) -> None:
        self.spec, self.bundle = spec, bundle
        self._labels = labels
        self._unjudged = tuple(tuple(tuple(part.split("=", 1)) for part in each.split(", ")) for each in unjudged)
        self._scorer = RecordScorer(spec, bundle)
        # Model and booster are opened now and not by the first patient.
        typical = bundle.description.typical_row
        bundle.explain(np.array([[typical[name] for name in bundle.feature_columns]], dtype=np.float64))

    def close(self) -> None:
        """Give the memory back."""
        self._scorer.close()

    def score(self, records: Mapping[str, TableRows]) -> dict[tuple[Any, ...], UnitScore]:
        """Score validated records of several subjects at once.

        Parameters
        ----------
        records : mapping of table name to TableRows
            Validated records; no two of them claim the same key.

        Returns
        -------
        dict
            Key to score. A record for which the statement yields no unit is absent.
        """
        scored = self._scorer.score_rows(records)
        decided, explained = scored.decisions, scored.explanation
        names, classes, tiers = self.bundle.feature_columns, self.bundle.classes, self.bundle.description.tiers
        groups = self._groups(records[self.spec.subject_table])
        found = {}
        for row, key in enumerate(scored.keys):
            values = scored.X[row].tolist()
            features = {name: _finite(value) for name, value in zip(names, values, strict=True)}
            is_alert, tier = bool(decided.is_alert[row]), tiers[decided.tier[row]]
            # As in a batch: of several classes the one decided, which need not be the likeliest.
            chosen = int(is_alert) if decided.decided is None else int(decided.decided[row])
            found[key] = UnitScore(
                risk=float(decided.risk[row]),
                interval=_interval(decided.intervals, row),
                probabilities=None
                if decided.probabilities is None
                else dict(zip(classes, decided.probabilities[row].tolist(), strict=True)),
                is_alert=is_alert,
                predicted=classes[chosen],
                tier=tier.name,
                action=tier.action,
                features=features,
                groups=groups[key],
                reasons=reasons_of(
                    explained, row, features=features, labels=self._labels, classes=classes, chosen=chosen
                ),
                warnings=tuple(self._warnings(features, groups[key])),
            )
        return found

    def _groups(self, subjects: TableRows) -> dict[tuple[Any, ...], dict[str, str | None]]:
        key = [subjects.columns.index(name) for name in self.spec.key]
        protected = [(name, subjects.columns.index(name)) for name in self.spec.protected]
        return {
            tuple(row[place] for place in key): {
                name: None if row[place] is None else str(row[place]) for name, place in protected
            }
            for row in subjects.rows
        }

    def _warnings(self, features: Mapping[str, float | None], groups: Mapping[str, str | None]) -> list[RecordWarning]:
        reference = self.bundle.description.reference
        known: Mapping[str, FeatureReference] = reference.features if reference is not None else {}
        found = self._mostly_missing(features)
        for name, value in features.items():
            label = self._labels[name].text
            if value is None:
                words = f"{label}: not known; the model had to do without it."
                found.append(RecordWarning("missing_value", name, words))
                continue
            quantiles = known[name].quantiles if name in known else None
            if quantiles and not quantiles[0] <= value <= quantiles[-1]:
                words = f"{label}: outside what training saw ({quantiles[0]:g} to {quantiles[-1]:g})."
                found.append(RecordWarning("outside_training_range", name, words))
        for group in self._unjudged:
            if all(len(part) == 2 and (groups.get(part[0]) or "unknown") == part[1] for part in group):
                name = ", ".join("=".join(part) for part in group)
                words = f"{name}: too few such patients to judge how well the model does for them."
                found.append(RecordWarning("group_not_judged", name, words))
        return found

    def _mostly_missing(self, features: Mapping[str, float | None]) -> list[RecordWarning]:
        """A record that lacks more than training rows did: its risk is about what is not known, not about a person."""
        reference = self.bundle.description.reference
        lacking = [self._labels[name].text for name, value in features.items() if value is None]
        if reference is None or len(lacking) <= reference.usually_missing():
            return []
        words = (
            f"{len(lacking)} of {len(features)} values that the model reads are not known ({', '.join(lacking)}). "
            f"All but one in a hundred training rows lacked {reference.usually_missing()} at most: the risk says "
            "little about this person. Ask again with more values before it is used."
        )
        return [RecordWarning("mostly_missing", "record", words)]


def _interval(found: RiskIntervals | None, row: int) -> RiskInterval | None:
    if found is None:
        return None
    return RiskInterval(float(found.low[row]), float(found.high[row]), float(found.other_tier_prob[row]))


def _finite(value: float | None) -> float | None:
    return None if value is None or math.isnan(value) else value
