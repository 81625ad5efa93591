"""The performance gate: is the model good enough, on rows that nobody tuned on?

Everything is about the locked holdout and about one risk, that of class ``action_from`` or a more severe one; with two
classes that is the outcome itself. Rows, outcomes and served risks are those that were kept with the training, after
checking that the hash of the subject decided where a row went (``holdout_locked``) and that this bundle gives these
risks (``scores_reproduced``).

How intervals are judged
------------------------
A criterion passes when its whole 95 % interval keeps the limit, fails when the whole interval breaks it, and is
``insufficient`` where the interval reaches over the limit (``interval_verdicts``). A point estimate alone never
passes. With a small holdout most criteria are therefore insufficient rather than passed or failed: thirty events can
neither show nor rule out a calibration slope of 0.7. This is deliberate. To pass them on the point estimate would
release what was not shown; to fail them would call a model bad for the want of patients. What is insufficient needs
the signed waiver of someone who has seen the interval, and the reason says how many rows would settle it. With fewer
events or non-events than ``limits.minimum_events`` the intervals themselves are not to be trusted, and nothing passes
or fails on them.

``auroc`` DeLong, logit scale; lower end against ``limits.auroc_lower``. ``net_benefit_over_treat_all``,
``net_benefit_over_treat_none`` at the deployed threshold, paired bootstrap (1,000 resamples); the lower end must lie
above 0. One that acts on everybody has no advantage over doing so, with certainty, and fails. ``calibration_slope``,
``calibration_intercept`` Wald (cluster bootstrap where subjects have several rows), against their ranges. With case
weights all of these are weighted, by resampling weighted rows; numbers of events count records.
``non_inferiority_auroc``, ``non_inferiority_net_benefit`` candidate minus champion on the same holdout rows, paired;
the lower end must lie above minus ``limits.non_inferiority_margin_auroc``, which for net benefit is read in net true
positives per patient. ``holdout_looks``, ``authorised_auroc`` and ``authorised_net_benefit``: see ``plan_life``.
``class_recall``, one for each of more than two classes: is it recognised at all (``classes``).
``latency`` 95th percentile of processor time of one patient at a time, features included, measured here; the times
are no part of what is signed. ``development_sample_size`` criteria of Riley et al. for the people that were trained
on. Too few make overfitting likely but do not show it, so not meeting them is insufficient, not a failure.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from clinical_assets.cohorts.decisions import GateLimits
from clinical_assets.foundation.errors import InsufficientData
from clinical_assets.foundation.types import FloatArray
from clinical_assets.governance.candidate.candidate import ReleaseCandidate
from clinical_assets.governance.candidate.comparison import compare_with_champion
from clinical_assets.governance.gates.holdout import Holdout, holdout_of, integrity
from clinical_assets.governance.gates.performance.classes import judge_classes
from clinical_assets.governance.gates.performance.latency import Latency, measure_latency
from clinical_assets.governance.gates.performance.plan_life import judge_plan_life
from clinical_assets.governance.verdicts.interval_verdicts import judged, limit_text
from clinical_assets.governance.verdicts.verdict import LASTING, Gate, Verdict
from clinical_assets.modelling.evaluation.evaluation import evaluate as estimates_on
from clinical_assets.modelling.table.resampled import drawn_units
from clinical_assets.modelling.table.row_losses import mean_auroc
from clinical_assets.modelling.table.sample_size import people_of, state_sample_size
from clinical_assets.modelling.trainings.reference import case_weights
from clinical_assets.statistics.uncertainty.bootstrap import percentile_interval
from clinical_assets.statistics.uncertainty.intervals import Estimate
from clinical_assets.statistics.uncertainty.resampling import resampled_cell_totals

GATE: Gate = "performance"
RESAMPLES = 1000


def evaluate(candidate: ReleaseCandidate) -> tuple[Verdict, ...]:
    """Judge the performance of a release candidate.

    Raises
    ------
    ReferenceMissing
        The candidate was trained elsewhere: its rows are not in this warehouse.
    """
    holdout = holdout_of(candidate)
    return (
        *integrity(candidate, holdout),
        *_on_holdout(candidate, holdout),
        *_on_classes(candidate, holdout),
        *_against_champion(candidate),
        *judge_plan_life(candidate),
        _sample_size(candidate, holdout),
        judge_latency(measure_latency(candidate), most=candidate.spec.decisions.limits.latency_ms),
    )


def _on_holdout(candidate: ReleaseCandidate, holdout: Holdout) -> list[Verdict]:
    spec, limits = candidate.spec, candidate.spec.decisions.limits
    seed = spec.modelling.search.seed
    threshold = candidate.bundle.description.threshold
    found = estimates_on(
        holdout.y,
        holdout.risk,
        decisions=spec.decisions,
        groups=holdout.subjects,
        weights=holdout.weights,
        seed=seed,
        n_resamples=RESAMPLES,
        leave_out=frozenset({"auprc", "ici", "curves"}),
    )

    def metric(name: str) -> Callable[[], Estimate]:
        def estimate() -> Estimate:
            if name not in found.metrics:
                raise InsufficientData(found.insufficient[name])
            return found.metrics[name]

        return estimate

    slope, intercept = limits.calibration_slope, limits.calibration_intercept
    enough = _events(holdout, limits)
    judge = _Judge(holdout, enough=enough.verdict == "pass", least=limits.minimum_events)
    return [
        enough,
        judge("auroc", metric("auroc"), what="AUROC", least=limits.auroc_lower, cure="Look for better predictors."),
        *(
            judge(
                f"net_benefit_over_treat_{other}",
                lambda other=other: _advantage(holdout, threshold, other, seed),  # type: ignore[misc]
                what=f"Net benefit at {threshold:.3g} above that of treating {other}",
                least=0.0,
                strict=True,
                cure=f"At this threshold treating {other} does as well; do not use the model there.",
            )
            for other in ("all", "none")
        ),
        judge(
            "calibration_slope",
            metric("calibration_slope"),
            what="Calibration slope",
            least=slope[0],
            most=slope[1],
            cure="Below 1 risks are too extreme: regularise more; above, they are too timid.",
        ),
        judge(
            "calibration_intercept",
            metric("calibration_intercept"),
            what="Calibration intercept",
            least=intercept[0],
            most=intercept[1],
            cure="Above 0 risks are too low on average, below too high: recalibrate.",
        ),
    ]


def _events(holdout: Holdout, limits: GateLimits) -> Verdict:
    rarer, least = min(holdout.events, holdout.n - holdout.events), limits.minimum_events
    good = rarer >= least
    told = (
        f"{holdout.events:,} events among {holdout.n:,} holdout rows; at least {least:,} of each outcome are asked for."
    )
    return Verdict(
        GATE,
        "holdout_events",
        "pass" if good else "insufficient",
        told if good else f"{told} Widen the cohort; nothing below can be judged.",
        value=float(rarer),
        limit=f">= {least}",
        n=holdout.n,
        events=holdout.events,
    )


class _Judge:
    """Verdicts on estimates of one holdout; where it is too small, none passes or fails."""

    def __init__(self, holdout: Holdout, *, enough: bool, least: int) -> None:
        self.holdout, self.enough, self.least_events = holdout, enough, least

    def __call__(
        self,
        criterion: str,
        estimate: Callable[[], Estimate],
        *,
        what: str,
        cure: str,
        least: float | None = None,
        most: float | None = None,
        strict: bool = False,
    ) -> Verdict:
        try:
            found = estimate()
        except InsufficientData as error:
            return Verdict(
                GATE,
                criterion,
                "insufficient",
                f"{what} cannot be estimated: {error.message}. {error.cure or ''}".strip(),
                limit=limit_text(least=least, most=most, strict=strict),
                n=self.holdout.n,
                events=self.holdout.events,
            )
        found = replace(found, n=self.holdout.n, events=self.holdout.events)
        verdict = judged(GATE, criterion, found, what=what, cure=cure, least=least, most=most, strict=strict)
        if self.enough:
            return verdict
        few = f"{self.holdout.events} events among {self.holdout.n} rows are too few to rely on an interval."
        return replace(verdict, verdict="insufficient", reason=f"{what} is {found.value:.3g}, but {few}")


def _advantage(holdout: Holdout, threshold: float, other: str, seed: int) -> Estimate:
    """Net benefit of the model minus that of treating all or none, on the same resamples of the same rows."""
    gain: FloatArray = np.where(holdout.y == 1, 1.0, -threshold / (1 - threshold))
    alert = holdout.risk >= threshold
    # What acting adds on each row; the differences of two policies are means over the rows where they differ.
    each = gain * alert if other == "none" else -gain * ~alert
    groups = drawn_units(holdout.n, holdout.subjects, holdout.weights)
    amounts, cells = np.unique(each, return_inverse=True)
    totals = resampled_cell_totals(
        cells.reshape(-1), amounts.size, n_resamples=RESAMPLES, seed=seed, groups=groups, weights=holdout.weights
    )
    low, high = percentile_interval(totals @ amounts / totals.sum(axis=1))
    value = float(np.average(each, weights=holdout.weights))
    kind = "paired bootstrap percentile" if groups is None else "paired group bootstrap percentile"
    return Estimate(value, float(low), float(high), holdout.n, holdout.events, kind)


def _on_classes(candidate: ReleaseCandidate, holdout: Holdout) -> tuple[Verdict, ...]:
    """Whether each of more than two classes is recognised; nothing to say of two, whose decision is the alert."""
    bundle, spec = candidate.bundle, candidate.spec
    if len(bundle.classes) == 2:
        return ()
    return judge_classes(
        holdout.rows["outcome"].to_numpy().astype(np.int64),
        bundle.decide(bundle.score(holdout.rows)),
        bundle.classes,
        least=spec.decisions.limits.minimum_events,
        subjects=holdout.subjects,
        weights=holdout.weights,
        seed=spec.modelling.search.seed,
    )


def _against_champion(candidate: ReleaseCandidate) -> list[Verdict]:
    margin = candidate.spec.decisions.limits.non_inferiority_margin_auroc
    compared = compare_with_champion(candidate)
    measures = {pair.name: pair for pair in compared.measures}
    verdicts = []
    for name, what in (("auroc", "AUROC"), ("net_benefit", "Net benefit")):
        criterion, limit = f"non_inferiority_{name}", limit_text(least=-margin)
        evidence = {
            "champion": compared.champion,
            "rows left out": compared.left_out,
            "rows compared": compared.n,
            "notes": list(compared.notes),
        }
        if compared.status == "no champion":
            reason = "There is no champion yet with which to compare."
            verdicts.append(Verdict(GATE, criterion, "pass", reason, limit=limit))
            continue
        pair = measures.get(name)
        if pair is None or pair.difference is None:
            why = compared.statement if pair is None else str(pair.reason)
            reason = f"Candidate and champion cannot be compared: {why}"
            verdicts.append(Verdict(GATE, criterion, "insufficient", reason, limit=limit, evidence=evidence))
            continue
        verdicts.append(
            judged(
                GATE,
                criterion,
                replace(pair.difference, n=compared.n, events=compared.events),
                what=f"{what} of the candidate minus that of the champion",
                cure="Keep the champion.",
                least=-margin,
                evidence={
                    **evidence,
                    "candidate's": pair.candidate.value if pair.candidate else None,
                    "champion's": pair.champion.value if pair.champion else None,
                },
            )
        )
    return verdicts


def _sample_size(candidate: ReleaseCandidate, holdout: Holdout) -> Verdict:
    """Riley's criteria on the people trained on, recomputed from the rows and out-of-fold risks that were kept."""
    import polars as pl

    train = holdout.frame.filter(pl.col("part") == "train")
    y = (train["outcome"].to_numpy() >= candidate.bundle.description.action_from).astype(np.int64)
    subject = candidate.spec.subject_of(candidate.spec.subject_table)
    people, with_event = people_of(train[subject].rank("dense").to_numpy(), y)
    try:
        size = state_sample_size(
            n=people,
            events=with_event,
            n_parameters=candidate.training.results.sample_size.n_parameters,
            auroc=mean_auroc(y, train["risk"].to_numpy(), case_weights(train, candidate.bundle.feature_columns)),
        )
    except InsufficientData as error:
        return Verdict(GATE, "development_sample_size", "insufficient", error.message, n=people)
    return Verdict(
        GATE,
        "development_sample_size",
        "pass" if size.is_met else "insufficient",
        size.statement if size.is_met else f"{size.statement} Collect more, or offer fewer features.",
        value=float(size.n),
        limit=f">= {size.required}",
        n=size.n,
        events=size.events,
        evidence={
            "fitted parameters": size.n_parameters,
            "events per parameter": size.events_per_parameter,
            "training rows": train.height,
            "r2": size.r2_cox_snell,
            "r2 from": size.r2_source,
        },
    )


def judge_latency(found: Latency, *, most: float) -> Verdict:
    """The verdict on a measurement: what keeps the limit passes, whatever else the machine did.

    What does not keep it fails only where the machine was free; otherwise nobody can tell model from machine.
    """
    verdict = judged(
        GATE,
        "latency",
        found.slow,
        what="The 95th percentile of the processor time for one patient, in milliseconds,",
        cure="Simplify the feature SQL or the model, or allow more time.",
        most=most,
        unit="calls",
        evidence={**found.medians, "busy": found.busy},
    )
    shown = {
        "pass": f"One patient is scored within {most:g} ms of processor time on this machine.",
        "fail": f"Scoring one patient takes more than {most:g} ms of processor time. Simplify the feature SQL or the "
        "model, or allow more time.",
        "insufficient": f"Whether one patient is scored within {most:g} ms could not be told on this machine.",
    }
    outcome, reason = verdict.verdict, verdict.reason
    if outcome != "pass" and found.is_busy:
        outcome = "insufficient"
        reason = (
            f"{reason.split(';')[0]}; but other work took the processor meanwhile: a fixed piece of work lasted "
            f"{found.busy:.1f} times its processor time. Evaluate the gate again when the machine is free."
        )
    return replace(
        verdict,
        verdict=outcome,
        reason=reason,
        events=None,
        evidence={**verdict.evidence, LASTING: shown[outcome]},
    )
