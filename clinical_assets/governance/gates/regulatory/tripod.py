"""TRIPOD+AI against the model card: what is computed must be there, what a person must write is listed.

The checklist is that of Collins et al. 2024, doi 10.1136/bmj-2023-078378. Each computed item names where in
``model_card.json`` it stands; items that no computer can know are never counted as done here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from clinical_assets.cohorts.card_statements import REQUIRED, says_nothing
from clinical_assets.cohorts.spec import CohortSpec
from clinical_assets.modelling.trainings.card_sections import horizon_of, unowned, unsaid

CardContent = Mapping[str, Any]
# A performance report without these says nothing about the three things that count: ranking, calibration, benefit.
_MEASURES = (
    "auroc",
    "calibration_intercept",
    "calibration_slope",
    "brier",
    "net_benefit",
    "sensitivity",
    "specificity",
)


@dataclass(frozen=True)
class Item:
    """One item of the checklist that is computed.

    Attributes
    ----------
    number : str
        As in the checklist, such as ``23a``.
    asks : str
        What it asks for.
    paths : tuple of str
        Dotted places in ``model_card.json`` that must not be empty.
    """

    number: str
    asks: str
    paths: tuple[str, ...]


COMPUTED = (
    Item("1", "title", ("title", "cohort")),
    Item("3a", "health context", ("disease.name", "disease.icd10", "intended_use")),
    Item("4", "objective and what the model is not for", ("intended_use", "not_for")),
    Item("5a", "source of data", ("data.source", "data.kind", "data.licence")),
    Item("7", "preparation of data, as digests", ("results.provenance.features_sql_digest",)),
    Item("8a", "outcome and moment of prediction", ("outcome.description", "outcome.classes", "prediction.moment")),
    Item("9a", "predictors", ("results.model.feature_columns",)),
    Item("10", "sample size", ("results.sample_size.statement", "results.sample_size.required")),
    Item("12a", "data apart for development and evaluation", ("results.train.n", "results.holdout.n", "results.seed")),
    Item(
        "12c", "type of model, settings, selection", ("results.model.name", "results.selection", "results.candidates")
    ),
    Item("12e", "measures of performance", ("results.metrics",)),
    Item("12f, 24", "recalibration", ("results.model.recalibration.intercepts", "results.model.recalibration.slopes")),
    Item("13", "class imbalance", ("results.model.imbalance",)),
    Item("15", "output and threshold", ("results.threshold.value", "results.tiers", "costs.rationale")),
    Item("18f", "code and versions", ("results.provenance.code_version", "results.provenance.libraries")),
    Item("20a", "flow of participants", ("results.participants.tables", "results.participants.used")),
    Item("20b", "characteristics of participants", ("results.table_one.columns", "results.table_one.rows")),
    Item("21", "records and events of each analysis", ("results.train.events", "results.holdout.events")),
    Item("12g", "the whole model, by digest", ("results.bundle_digest", "results.training_digest")),
    Item(
        "22",
        "the whole model: terms or importances with directions, settings, missing values",
        ("results.model_terms.kind", "results.model_terms.preparation", "results.directions", "results.contributions"),
    ),
    Item("23a", "performance with intervals", ("results.metrics", "results.business_table", "results.rates")),
    Item("26", "limits", ("data.limits",)),
)
# Items that need a person; the card lists them in its own words.
FOR_A_PERSON = {
    "2": "structured abstract",
    "3b": "target population and pathway of care",
    "3c": "known inequalities between groups",
    "5b": "dates of collection, unless the description names them",
    "6": "setting, eligibility, treatments received",
    "8b": "assessment of the outcome, blinding",
    "9b": "measurement of the predictors",
    "11": "reasons for missing values; how they are filled is in the bundle",
    "12b": "reasons for how predictors are coded",
    "14": "approaches to fairness and their reasons",
    "16": "differences between development and use: setting, eligibility, measurement",
    "17": "ethical approval",
    "18": "funding, conflicts of interest, protocol, registration, sharing of data",
    "19": "involvement of patients and the public",
    "25": "interpretation",
    "27": "usability in care: missing inputs, interaction, expertise, further research",
}


def card_gaps(card: CardContent, spec: CohortSpec) -> tuple[str, ...]:
    """Computed items that a card lacks, in words; empty when it is complete.

    Parameters
    ----------
    card : mapping
        Content of ``model_card.json``.
    spec : CohortSpec
        The cohort's description.
    """
    gaps = [
        f"{item.number} ({item.asks}): {path} is missing"
        for item in COMPUTED
        for path in item.paths
        if _lacks(card, path)
    ]
    results = card.get("results")
    if isinstance(results, Mapping):
        gaps += _measure_gaps(results)
        gaps += _group_gaps(results, spec)
    if "for_a_person" not in card:
        gaps.append("the list of what a person must still write is missing")
    return tuple(gaps)


def unwritten(spec: CohortSpec) -> tuple[str, ...]:
    """Places of the description where a person must write and nothing is said, such as TBD; empty when there is none.

    Beside the texts that make the model these are the horizon and the required statements of the part ``card``.
    """
    texts = {
        "intended_use": spec.intended_use,
        "not_for": spec.not_for,
        "data.source": spec.data.source,
        "data.licence": spec.data.licence,
        "data.limits": " ".join(spec.data.limits),
        "prediction.moment": spec.prediction.moment,
        "target.description": spec.target.description,
        "decisions.costs.rationale": spec.decisions.costs.rationale,
        "owner.team": spec.owner.team,
        "prediction.horizon_days or card.horizon": horizon_of(spec),
    }
    places = [name for name, text in texts.items() if says_nothing(text)]
    return (*places, *(f"card.{name}" for name in unsaid(spec) if name in REQUIRED))


def demonstrated(spec: CohortSpec) -> tuple[str, ...]:
    """Required statements that say *demonstration*: an honest answer, behind which nobody stands."""
    return tuple(f"card.{name}" for name in unowned(spec) if name in REQUIRED)


def _lacks(card: CardContent, path: str) -> bool:
    value: Any = card
    for part in path.split("."):
        if not isinstance(value, Mapping) or part not in value:
            return True
        value = value[part]
    return value is None or (isinstance(value, str | list | dict) and not value)


def _measure_gaps(results: Mapping[str, Any]) -> Iterator[str]:
    """A measure is there with its interval and what it rests on, or the card says why it cannot be computed."""
    metrics, insufficient = results.get("metrics") or {}, results.get("insufficient") or {}
    for name in _MEASURES:
        if name not in metrics and not insufficient.get(name):
            yield f"23a (performance): neither {name} nor a reason for its absence"
    for name, estimate in metrics.items():
        if any(estimate.get(part) is None for part in ("value", "n")) or not {"ci_low", "ci_high"} <= set(estimate):
            yield f"23a (performance): {name} has no value, interval or number of records"


def _group_gaps(results: Mapping[str, Any], spec: CohortSpec) -> Iterator[str]:
    """Each protected attribute has rows on the holdout, each with numbers or the reason why not."""
    rows = results.get("subgroups") or []
    for attribute in spec.protected:
        own = [row for row in rows if row.get("attribute") == attribute and row.get("sample") == "holdout"]
        if not own:
            yield f"23b (groups): nothing about {attribute} on the holdout"
        elif any(not row.get("metrics") and not row.get("reason") for row in own):
            yield f"23b (groups): {attribute} has a group without numbers and without a reason"
