"""What a training found out, as it stands in ``results.json``: every number that card, dossier and gates show.

What belongs here: the fields, which every later version must still read, and in which order they are written. What does
not: how a number comes about (``evaluation``), and how it is shown.

An infinite or undefined number is null. Whole numbers stay whole: a digest covers them.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from clinical_assets.foundation.stored_format import FIELD, StoredDocument, VersionedDocument
from clinical_assets.modelling.bundle.bundle_description import Derivation, StoredRecalibration, TrainingProvenance
from clinical_assets.modelling.leakage.leak import LeakAction, LeakKind

_Number = int | float


class StoredEstimate(StoredDocument):
    """A value with its interval; see `Estimate`."""

    value: _Number | None
    ci_low: _Number | None
    ci_high: _Number | None
    n: _Number
    events: _Number
    method: str
    level: _Number


Metrics = dict[str, StoredEstimate]


class StoredCounts(StoredDocument):
    """Rows and events of one part; see `Counts`."""

    n: int
    events: int
    by_class: tuple[int, ...]


class StoredCandidate(StoredDocument):
    """One candidate's nested estimate; see `CandidateResult`."""

    name: str
    metrics: Metrics
    insufficient: dict[str, str]
    settings: tuple[dict[str, Any], ...]


class StoredModel(StoredDocument):
    """The winner as it was fitted; see `FittedModel`."""

    name: str
    parameters: dict[str, Any]
    imbalance: str
    recalibration: StoredRecalibration
    feature_columns: tuple[str, ...]


class StoredThreshold(StoredDocument):
    """Where to act; see `ThresholdDecision`.

    Attributes
    ----------
    value : float
        In use, from the costs.
    optimum, optimum_low, optimum_high : float or None
        The cheapest one on out-of-fold scores, and its interval.
    """

    value: _Number
    optimum: _Number | None
    optimum_low: _Number | None
    optimum_high: _Number | None
    cost: _Number | None
    optimum_cost: StoredEstimate | None
    net_benefit: StoredEstimate | None
    advantage: StoredEstimate | None


class StoredPolicy(StoredDocument):
    """What a policy comes to for `per` patients; see `PolicyOutcome`."""

    policy: str
    threshold: _Number | None
    alerts: StoredEstimate
    caught: StoredEstimate
    missed: StoredEstimate
    false_alarms: StoredEstimate
    cost: StoredEstimate
    per: _Number


class StoredTierRow(StoredDocument):
    """A risk tier and who is in it; see `TierRow`."""

    name: str
    lower: _Number
    upper: _Number
    action: str
    action_cost: _Number
    share: StoredEstimate
    n: _Number
    events: _Number
    observed_risk: StoredEstimate | None
    mean_risk: _Number | None


class StoredLeak(StoredDocument):
    """A suspicion of leakage; see `Leak`."""

    column: str
    kind: LeakKind
    evidence: str
    value: _Number | None
    action: LeakAction
    cure: str


class StoredFinding(StoredDocument):
    """What somebody should look at, and what to do about it."""

    code: str
    message: str
    cure: str


class StoredGroup(StoredDocument):
    """One group of a protected attribute, or of an age; see `SubgroupRow`."""

    sample: str
    attribute: str
    group: str
    n: int
    events: int
    status: str
    reason: str
    metrics: Metrics


class StoredSampleSize(StoredDocument):
    """What Riley's criteria ask for; see `SampleSize`."""

    n: int
    events: int
    n_parameters: int
    r2_cox_snell: _Number | None
    r2_source: str
    required: _Number | None
    is_met: bool
    events_per_parameter: _Number | None
    statement: str


class StoredRates(StoredDocument):
    """Rates at one threshold; null where insufficient."""

    threshold: _Number
    role: str
    sensitivity: StoredEstimate | None
    specificity: StoredEstimate | None
    ppv: StoredEstimate | None
    npv: StoredEstimate | None
    alert_rate: StoredEstimate | None


class PreparedFeature(StoredDocument):
    """How a missing value of a feature is treated."""

    feature: str
    imputed: _Number | None
    flagged: bool
    used: bool = True


class StoredTerm(StoredDocument):
    """One term of a linear model; the ratio is of hazards where the scale of the terms is ``log_hazard``."""

    feature: str
    is_flag: bool
    mean: _Number
    sd: _Number
    coefficient: _Number
    per_sd: _Number
    odds_ratio_per_sd: _Number


class ModelTerms(StoredDocument):
    """Every part that a risk is made of; see `model_terms`."""

    kind: str
    settings: dict[str, Any]
    imbalance: str
    recalibration: StoredRecalibration
    preparation: tuple[PreparedFeature, ...]
    terms: tuple[StoredTerm, ...]
    intercept: _Number | None
    scale: Literal["log_odds", "log_hazard"] = "log_odds"


class RefusalReason(StoredDocument):
    """Records of a table that a rule refused."""

    rule: str
    columns: str
    records: int


class TableFlow(StoredDocument):
    """Records of one table from source to validation."""

    table: str
    raw: int
    unreadable: int
    refused: int
    validated: int
    reasons: tuple[RefusalReason, ...]


class Exclusion(StoredDocument):
    """Prediction units without a known outcome, and why."""

    reason: str
    units: int


class ParticipantFlow(StoredDocument):
    """From the source to the units used; see `participant_flow`."""

    tables: tuple[TableFlow, ...]
    units: int
    excluded: tuple[Exclusion, ...]
    used: int


class TableOneColumn(StoredDocument):
    """One class of the outcome in one part; `n` is text where it is withheld."""

    part: str
    label: str
    n: int | str


class TableOneRow(StoredDocument):
    """One characteristic, or one of its levels."""

    name: str
    level: str
    kind: str
    cells: tuple[str, ...]
    smd: _Number | None


class TableOne(StoredDocument):
    """Characteristics by outcome, training beside holdout; see `table_one`."""

    columns: tuple[TableOneColumn, ...]
    rows: tuple[TableOneRow, ...]


class StoredClass(StoredDocument):
    """One class against the rest; `decided` counts the rows that were decided for it."""

    name: str = Field(alias="class")
    n: int
    decided: int
    metrics: Metrics
    insufficient: dict[str, str]


class ConstantDecision(StoredEstimate):
    """Mean cost of one decision for everybody."""

    name: str = Field(alias="class")


class StoredClassPerformance(StoredDocument):
    """Each of more than two classes, and what the decisions among them came to; see `class_performance`.

    Attributes
    ----------
    cuts
        Each level or a graver one against those below it; absent in trainings made before it was kept.
    confusion, costs
        True class by decided class, counts and costs.
    rule : str
        How a class is decided.
    mean_cost, likeliest, constant
        Mean cost of the decisions made, of the likeliest class, and of the cheapest decision for everybody; absent
        without costs.
    """

    classes: tuple[StoredClass, ...]
    cuts: tuple[StoredClass, ...] = ()
    confusion: tuple[tuple[int, ...], ...]
    rule: str
    costs: tuple[tuple[_Number, ...], ...] | None
    unit: str
    rationale: str = ""
    mean_cost: StoredEstimate | None = None
    likeliest: StoredEstimate | None = None
    constant: ConstantDecision | None = None


class StoredRiskCertainty(StoredDocument):
    """How certain the risks are on the holdout; see `risk_certainty`."""

    statement: str
    n: int
    level: _Number | None
    median_width: _Number | None
    tenth_width: _Number | None
    mean_other_tier_prob: _Number | None
    uncertain_tier_share: _Number | None


class TrainingResults(VersionedDocument):
    """Content of ``results.json``.

    Attributes
    ----------
    cohort, synthetic, n, events, classes, action_from, data_digest, seed, train, holdout
        What was trained on; see `TrainingResult`.
    candidates, selected, selection
        Nested estimates, and the winner with the reason.
    model : StoredModel
    metrics, insufficient : dict
        Estimates on the holdout, and what it cannot support.
    threshold, business_table, tiers, tier_cost
        Where to act, and what follows for 1,000 patients.
    leakage, warnings : tuple
        What a person should look at.
    subgroups : tuple of StoredGroup
    sample_size : StoredSampleSize
    contributions, directions : dict
        Feature to mean absolute contribution, the largest first, and to the direction of its effect.
    feature_labels : dict
        Feature to what it is, as the files beside the SQL say it; empty in trainings before it was kept.
    rates, age_groups, model_terms, risk_certainty, participants, table_one, class_performance
        Further views for card and dossier; absent in trainings before there were any, the last also for two classes.
    bundle_digest, training_digest : str
    provenance : TrainingProvenance
    derived : Derivation or None
        Where another bundle was recalibrated.
    """

    cohort: str
    synthetic: bool
    n: int
    events: int
    classes: tuple[str, ...]
    action_from: int
    data_digest: str
    seed: int
    train: StoredCounts
    holdout: StoredCounts
    candidates: tuple[StoredCandidate, ...]
    selected: str
    selection: dict[str, Any]
    model: StoredModel
    metrics: Metrics
    insufficient: dict[str, str]
    threshold: StoredThreshold
    business_table: tuple[StoredPolicy, ...]
    tiers: tuple[StoredTierRow, ...]
    tier_cost: _Number | None
    leakage: tuple[StoredLeak, ...]
    warnings: tuple[StoredFinding, ...]
    subgroups: tuple[StoredGroup, ...]
    sample_size: StoredSampleSize
    contributions: dict[str, _Number]
    directions: dict[str, _Number | None] = Field(default_factory=dict)
    feature_labels: dict[str, str] = Field(default_factory=dict)
    rates: tuple[StoredRates, ...] = ()
    age_groups: tuple[StoredGroup, ...] = ()
    model_terms: ModelTerms | None = None
    risk_certainty: StoredRiskCertainty | None = None
    participants: ParticipantFlow | None = None
    table_one: TableOne | None = None
    class_performance: StoredClassPerformance | None = None
    bundle_digest: str
    training_digest: str
    provenance: TrainingProvenance
    derived: Derivation | None = None

    def plain(self) -> dict[str, Any]:
        """Plain values without the version, as card and dossier hold them: their digests are older than it."""
        return {name: value for name, value in self.to_json().items() if name != FIELD}
