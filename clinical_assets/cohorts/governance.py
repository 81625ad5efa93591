"""Who must agree before a model is used, and which later changes were agreed to beforehand.

What belongs here: the cohort owner's policy, as written in the description. What does not: applying it (governance).
"""

from __future__ import annotations

from typing import ClassVar, Literal, Self

from pydantic import Field, model_validator

from clinical_assets.cohorts.base import Grown, Name, Strict

ChangeKind = Literal["intercept", "intercept_and_slope", "refit", "threshold", "features", "candidates"]


class RequiredSignatures(Strict):
    """So many signatures of different people who hold this role."""

    role: Name
    count: int = Field(default=1, ge=1)


class ApprovalPolicy(Strict):
    """Signatures that a release needs, and how long they hold.

    Approver and author are never the same person; that is no setting.
    """

    signatures: tuple[RequiredSignatures, ...] = Field(
        default=(RequiredSignatures(role="reviewer"),),
        min_length=1,
        description="Which roles must sign, how many of each.",
    )
    waivers: tuple[Name, ...] = Field(
        default=("reviewer",), min_length=1, description="Roles that may waive what could not be judged."
    )
    valid_days: int = Field(default=365, ge=1, description="Days after which a signature no longer counts.")

    @model_validator(mode="after")
    def _roles_once(self) -> Self:
        roles = [each.role for each in self.signatures]
        if len(roles) != len(set(roles)):
            raise ValueError("a role is named twice among the signatures; give its count instead")
        return self


class Access(Strict):
    """Who may ask the model on the pages; programs show keys, which have rights of their own."""

    roles: tuple[Name, ...] = Field(
        default=("clinician",), min_length=1, description="Roles of people who may ask about patients."
    )


class AcceptanceCriteria(Strict):
    """What a pre-authorised change must show on the locked holdout, beside the gates."""

    auroc_loss_at_most: float = Field(
        default=0.02, ge=0, le=0.5, description="Upper bound of the loss against the champion on the same rows."
    )
    calibration_slope: tuple[float, float] = (0.8, 1.25)
    calibration_intercept: tuple[float, float] = (-0.3, 0.3)
    net_benefit_loss_at_most: float = Field(default=0.01, ge=0, le=1)


class PermittedChange(Strict):
    """One kind of change that was agreed to beforehand."""

    kind: ChangeKind
    criteria: AcceptanceCriteria = AcceptanceCriteria()
    at_most_per_year: int = Field(default=4, ge=1)
    promotes_itself: bool = Field(
        default=False, description="True: the change takes effect when the gates pass, without new signatures."
    )


class ChangeControlPlan(Grown):
    """Predetermined change control plan: which kinds of change are pre-authorised, with which criteria.

    The idea is that of the FDA guidance on predetermined change control plans for machine-learning device functions:
    what is not in the plan is a new release.
    """

    LATER: ClassVar[frozenset[str]] = frozenset({"error_rate", "planned_updates", "holdout_looks"})

    reference: str | None = Field(default=None, description="Document and version in the quality system.")
    permitted: tuple[PermittedChange, ...] = ()
    error_rate: float = Field(
        default=0.05,
        gt=0,
        le=0.2,
        description="Chance, over all updates together, that one is taken for no worse than the authorised version "
        "although it is.",
    )
    planned_updates: int = Field(
        default=10,
        ge=1,
        le=100,
        description="Updates among which the error rate is shared; one that passes costs nothing.",
    )
    holdout_looks: int = Field(
        default=20, ge=1, description="Models that may be judged on the same holdout rows before new ones are needed."
    )

    @model_validator(mode="after")
    def _kinds_once(self) -> Self:
        kinds = [each.kind for each in self.permitted]
        if len(kinds) != len(set(kinds)):
            raise ValueError("a kind of change stands twice in the plan")
        return self

    def permits(self, kind: ChangeKind) -> PermittedChange | None:
        """The terms of a kind of change, or None where it is not pre-authorised."""
        return next((each for each in self.permitted if each.kind == kind), None)


class Monitoring(Strict):
    """What is watched after release, and when it counts as news."""

    minimum_n: int = Field(default=200, ge=20, description="Records below which drift is 'insufficient'.")
    minimum_outcomes: int = Field(default=100, ge=20, description="Matured outcomes below which nothing is judged.")
    minimum_events: int = Field(default=20, ge=5)
    psi_limit: float = Field(default=0.2, gt=0, description="Population stability index from which drift is large.")
    ks_limit: float = Field(
        default=0.1, gt=0, le=1, description="Kolmogorov-Smirnov distance from which drift is large."
    )
    missing_change_limit: float = Field(
        default=0.1, gt=0, le=1, description="Change of the missing share that is large."
    )
    calibration_limit: float = Field(
        default=0.02, gt=0, le=0.5, description="Mean change of risk by recalibration below which none is due."
    )
    auroc_gain_limit: float = Field(
        default=0.02, gt=0, le=0.5, description="Gain of a refit in AUROC, cross-validated, below which none is due."
    )
    acted_share_limit: float = Field(
        default=0.2, gt=0, le=1, description="Share of alerts acted upon from which outcomes are taken for treated."
    )
    false_alarm_rate: float = Field(default=0.05, gt=0, lt=0.5, description="For all features of a report together.")
    cool_down_days: int = Field(default=30, ge=0, description="Days between two updates of the model.")
    updates_per_year: int = Field(default=6, ge=1, description="Budget: more updates than this stop and ask a person.")
    stale_after_hours: int = Field(default=24 * 35, ge=1, description="Age of the newest batch that counts as stale.")
