"""What became of a model: trained, judged, champion, to be renewed."""

from __future__ import annotations

from pydantic import Field, StrictBool

from clinical_assets.records.ledger.facts.base import LedgerFacts


class TrainingFacts(LedgerFacts):
    """A model was trained, or recalibrated from another.

    Attributes
    ----------
    training, selected, n, events
        Of a training: its digest, the candidate that won, units, and units with the outcome.
    base : str or None
        Of a recalibration: digest of the other bundle; ``from`` in the ledger.
    kind, intercept, slope, cause
        Of a recalibration; see `Derivation`.
    evidence : dict
        Digests of what the model is judged by.
    searches_from : dict or None
        Of a training: candidates whose search was not fitted again, each with the digest of the training that did.
    """

    training: str | None = None
    selected: str | None = None
    n: int | None = None
    events: int | None = None
    base: str | None = Field(default=None, validation_alias="from", serialization_alias="from")
    kind: str | None = None
    intercept: float | None = None
    slope: float | None = None
    cause: str | None = None
    evidence: dict[str, str] | None = None
    searches_from: dict[str, str] | None = None


class RetrainFacts(LedgerFacts):
    """A model was trained because a recommendation asked for it: digest of the recommendation."""

    cause: str


class RecommendationFacts(LedgerFacts):
    """What is to be done about a champion; see `Recommendation`."""

    action: str
    rule: str
    wanted: str | None
    cause: str
    n: int
    events: int


class GateVerdictFacts(LedgerFacts):
    """A gate was evaluated.

    Attributes
    ----------
    gate, gate_run : str
        The gate, and the id of its evaluation.
    verdicts_digest : str
        Digest of the rows.
    summary : str
        What they come to.
    passed, fail, insufficient : int
        Criteria with each outcome; ``passed`` is ``pass`` in the ledger.
    failed_criteria : tuple of str
        Names of those that failed, without their groups.
    basis : str or None
        Digest of what the evaluation rests on.
    """

    gate: str
    gate_run: str
    verdicts_digest: str
    summary: str
    passed: int = Field(validation_alias="pass", serialization_alias="pass")
    fail: int
    insufficient: int
    failed_criteria: tuple[str, ...] = ()
    basis: str | None = None


class DossierFacts(LedgerFacts):
    """A dossier was written: its digest, and gate to outcome."""

    dossier_digest: str
    gates: dict[str, str]


class ChampionFacts(LedgerFacts):
    """A champion changed, by promotion or rollback.

    Attributes
    ----------
    promotion : str or None
        Id of the row of promotions.
    since : str or None
        UTC.
    before : str or None
        Digest of the champion before.
    dossier_digest, plan_digest, policy_digest : str or None
        What a promotion was signed under.
    signatures : tuple of str
        Ids of those that it rests on.
    gates : dict
        Gate to digest of its verdicts.
    required : dict
        Role to number of signatures.
    unattended : bool
        Whether it took effect by itself.
    by, public_key, signature : str or None
        Of a rollback that somebody signed.
    """

    promotion: str | None = None
    since: str | None = None
    before: str | None = None
    dossier_digest: str | None = None
    signatures: tuple[str, ...] = ()
    plan_digest: str | None = None
    policy_digest: str | None = None
    gates: dict[str, str] = Field(default_factory=dict)
    required: dict[str, int] = Field(default_factory=dict)
    unattended: StrictBool = False
    by: str | None = None
    public_key: str | None = None
    signature: str | None = None
