"""The protocol of an experiment: everything that is agreed before the first patient, in one document.

What belongs here: its fields and what only the whole can check. What does not: reading files (``protocol_files``), who
signed it (``register``), and what the cohort's description must agree with (``protocol_files``).

SPIRIT-AI (doi 10.1038/s41591-020-1037-7) and DECIDE-AI (doi 10.1038/s41591-022-01772-9) say what a protocol and a
report of early live evaluation hold; ``checklist`` names the items and where they stand.
"""

from __future__ import annotations

import itertools
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from clinical_assets.cohorts.base import Name, Strict
from clinical_assets.cohorts.governance import RequiredSignatures
from clinical_assets.foundation.canonical import value_digest
from clinical_assets.statistics.trials.planned_size import PlannedSize, net_benefit_variance, planned_size

#: Shares of treatment that a ramp may have, after the silent stage.
SHARES = (0.01, 0.05, 0.1, 0.25, 0.5)
BundleDigest = Annotated[str, Field(pattern=r"^sha256:[0-9a-f]{64}$")]
Text = Annotated[str, Field(min_length=1, max_length=4000)]
UnitKind = Literal["patient", "clinician", "site"]
GuardrailKind = Literal["errors", "latency", "alerts", "missed_events", "subgroup_missed_events"]


class AssignmentUnit(Strict):
    """What is assigned to an arm as a whole.

    A clinician is the key of the caller. For a clinician or a site, the mean over its first ``patients`` patients
    counts as one observation.
    """

    of: UnitKind = "patient"
    column: Name | None = Field(default=None, description="Column of the subject table that names the site.")
    patients: int = Field(default=1, ge=1, description="Patients of a clinician or site that make one observation.")

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if (self.of == "site") != (self.column is not None):
            raise ValueError("a site needs `column`, and nothing else has one")
        if self.of == "patient" and self.patients != 1:
            raise ValueError("a patient is one observation: leave out `patients`")
        return self


class RampStage(Strict):
    """A share of units that the challenger answers for, and how many units must come before the next stage."""

    share: float = Field(ge=0, le=0.5)
    units: int = Field(default=1, ge=1, description="Units seen in this stage before the share may be raised.")


class OutcomeTerms(Strict):
    """Which outcome counts, and after how many days it is final; a patient counts from then on, in both arms alike."""

    description: Text
    horizon_days: float = Field(ge=0, description="Days from the first exposure after which the outcome is final.")


class BenefitMargin(Strict):
    """Which difference in net benefit (challenger minus champion, per patient) leads to which verdict."""

    threshold: float = Field(
        gt=0, lt=1, description="Risk at which the costs balance; fixes the weight of a false alert."
    )
    promote_above: float = Field(default=0.0, ge=-1, le=1)
    roll_back_below: float = Field(default=0.0, ge=-1, le=1)

    @property
    def odds(self) -> float:
        """Weight of a false alert: t / (1 - t)."""
        return self.threshold / (1 - self.threshold)

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.roll_back_below > self.promote_above:
            raise ValueError("roll_back_below lies above promote_above: one difference would lead to both verdicts")
        return self


class TrialPlan(Strict):
    """The planned size and what it was computed from."""

    effect: float = Field(gt=0, le=1, description="Gain in net benefit, beyond promote_above, that shall be found.")
    prevalence: float = Field(gt=0, lt=1)
    sensitivity: float = Field(gt=0, le=1, description="Of the champion at its threshold.")
    false_positive_rate: float = Field(ge=0, le=1)
    alpha: float = Field(default=0.05, gt=0, le=0.2, description="Two-sided, over all looks.")
    power: float = Field(default=0.8, ge=0.5, lt=1)
    units: int = Field(ge=2, description="Units of both arms with a final outcome; at least what the power asks for.")
    longest_days: int = Field(ge=1, description="Days after which the experiment is paused without a verdict.")

    def attainable(self, odds: float) -> float:
        """What a perfect model would gain over the champion in net benefit, a false alert weighing `odds`."""
        missed, false = (1 - self.sensitivity) * self.prevalence, self.false_positive_rate * (1 - self.prevalence)
        return missed + false * odds


class ProtocolGuardrail(Strict):
    """A rate that the challenger's arm must not exceed; evidence that it does ends the experiment.

    ``errors``: answers that the challenger could not give; ``latency``: answers that took longer than ``above_ms``;
    ``alerts``: patients with an alert; ``missed_events``: patients with the outcome and without an alert, among those
    with the outcome; ``subgroup_missed_events``: the same in each group of ``attribute``.
    """

    kind: GuardrailKind
    limit: float = Field(gt=0, lt=1)
    above_ms: float | None = Field(default=None, gt=0)
    attribute: Name | None = None

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if (self.kind == "latency") != (self.above_ms is not None):
            raise ValueError("a latency needs `above_ms`, and no other guardrail has it")
        if (self.kind == "subgroup_missed_events") != (self.attribute is not None):
            raise ValueError("a subgroup needs `attribute`, and no other guardrail has it")
        return self

    @property
    def name(self) -> str:
        """How it is called in reports."""
        return self.kind if self.attribute is None else f"missed_events[{self.attribute}]"


class StoppingRule(Strict):
    """When a verdict may be given; guardrails hold at any time.

    ``sequence``: at any time, by a confidence sequence. ``looks``: only at fractions of the planned units, by
    O'Brien-Fleming boundaries.
    """

    kind: Literal["sequence", "looks"] = "sequence"
    fractions: tuple[float, ...] = ()

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if (self.kind == "looks") != bool(self.fractions):
            raise ValueError("looks need `fractions`, and a sequence has none")
        if self.fractions and (
            self.fractions[0] <= 0
            or self.fractions[-1] != 1
            or any(b <= a for a, b in itertools.pairwise(self.fractions))
        ):
            raise ValueError("fractions ascend from above 0 to 1")
        return self


class ExperimentProtocol(Strict):
    """What is agreed before an experiment begins; its digest is what people sign.

    Attributes
    ----------
    champion, challenger : str
        Digests of the bundles.
    guardrail_alpha : float
        Chance that any guardrail ends a harmless experiment, split evenly among them.
    mismatch_alpha : float
        Chance that a sound allocation is taken for broken.
    decides : tuple of RequiredSignatures
        Roles that must sign before the experiment begins; whoever holds one of them may raise the share or stop it.
    items : dict
        Item of SPIRIT-AI or DECIDE-AI to what a person says about it; see ``checklist``.
    """

    name: Name
    cohort: Name
    title: Text
    hypothesis: Text
    champion: BundleDigest
    challenger: BundleDigest
    unit: AssignmentUnit = AssignmentUnit()
    ramp: tuple[RampStage, ...] = Field(min_length=2)
    outcome: OutcomeTerms
    benefit: BenefitMargin
    plan: TrialPlan
    guardrails: tuple[ProtocolGuardrail, ...] = Field(min_length=1)
    guardrail_alpha: float = Field(default=0.05, gt=0, le=0.2)
    mismatch_alpha: float = Field(default=0.001, gt=0, le=0.05)
    stopping: StoppingRule = StoppingRule()
    decides: tuple[RequiredSignatures, ...] = Field(min_length=1)
    items: dict[str, Text] = Field(default_factory=dict)

    @property
    def digest(self) -> str:
        """Names the protocol for ever."""
        return value_digest(self.model_dump(mode="json"))

    @property
    def roles(self) -> tuple[str, ...]:
        """Roles that decide."""
        return tuple(each.role for each in self.decides)

    def stage_after(self, share: float) -> RampStage | None:
        """The stage after the one with this share, or None after the last."""
        return next((stage for stage in self.ramp if stage.share > share), None)

    def size(self) -> PlannedSize:
        """What the power asks for, in observations."""
        plan, rates = self.plan, {"prevalence": self.plan.prevalence, "threshold": self.benefit.threshold}
        # Events are found first; what they cannot bring comes from fewer false alerts.
        found = min(plan.effect, (1 - plan.sensitivity) * plan.prevalence)
        spared = (plan.effect - found) / ((1 - plan.prevalence) * self.benefit.odds)
        before = net_benefit_variance(
            sensitivity=plan.sensitivity, false_positive_rate=plan.false_positive_rate, **rates
        )
        after = net_benefit_variance(
            sensitivity=min(1.0, plan.sensitivity + found / plan.prevalence),
            false_positive_rate=max(0.0, plan.false_positive_rate - spared),
            **rates,
        )
        return planned_size(
            effect=self.plan.effect,
            variance=before,
            variance_treated=after,
            lower=-self.benefit.odds,
            upper=1.0,
            share_treated=self.ramp[-1].share,
            alpha=self.plan.alpha,
            power=self.plan.power,
        )

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.champion == self.challenger:
            raise ValueError("champion and challenger are the same bundle")
        shares = [stage.share for stage in self.ramp]
        if shares[0] != 0 or any(b <= a for a, b in itertools.pairwise(shares)):
            raise ValueError("a ramp begins silent (share 0) and ascends")
        for share in shares[1:]:
            if share not in SHARES:
                raise ValueError(f"share {share:g} is none of {', '.join(f'{each:g}' for each in SHARES)}")
        names = [each.name for each in self.guardrails]
        if len(names) != len(set(names)):
            raise ValueError("a guardrail stands twice")
        if len(self.roles) != len(set(self.roles)):
            raise ValueError("a role stands twice in `decides`; give its count instead")
        attainable = self.plan.attainable(self.benefit.odds)
        if self.plan.effect >= attainable:
            raise ValueError(f"no model can gain {self.plan.effect:g}: a perfect one would gain {attainable:.4f}")
        needed = self.size().n
        if self.plan.units < needed:
            raise ValueError(f"plan.units is {self.plan.units}, but the planned effect and power ask for {needed}")
        return self
