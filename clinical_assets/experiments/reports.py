"""``experiment_report`` and ``shadow_report``: numbers as plain values, and one page of both.

What belongs here: tables and pictures of what was evaluated. What does not: evaluating (``evaluation``), and HTML
(``clinical_assets.reporting``).
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from clinical_assets.cohorts.spec import CohortSpec
from clinical_assets.experiments.evaluation import final_outcomes, paired_difference, tuning
from clinical_assets.experiments.exposures import Exposure
from clinical_assets.experiments.planning.checklist import checklist
from clinical_assets.experiments.verdict import bounds
from clinical_assets.experiments.watching import ExperimentView
from clinical_assets.foundation.atomic_files import write_whole
from clinical_assets.foundation.canonical import readable_json
from clinical_assets.foundation.settings import Settings
from clinical_assets.reporting import figures
from clinical_assets.reporting.formats import shown
from clinical_assets.reporting.pages import render_page
from clinical_assets.reporting.trial_views import ExperimentPage, ExperimentSection
from clinical_assets.reporting.views import Badge, Colour, EmbeddedPicture, TableView
from clinical_assets.statistics.trials.bounded_difference import tuned_rho

#: Light of each verdict; one that goes on is grey.
COLOURS: dict[str, Colour] = {"promote": "green", "roll_back": "red", "halted": "red", "stopped": "amber"}
_MOST_POINTS = 400


def experiment_report(view: ExperimentView, spec: CohortSpec) -> dict[str, Any]:
    """Everything that is known of an experiment, as plain values; no record, and no pseudonym."""
    experiment, found, protocol = view.experiment, view.evaluation, view.experiment.protocol
    now = bounds(protocol, found)
    treated = found.arms["challenger"]
    return {
        "experiment": protocol.name,
        "protocol": protocol.digest,
        "state": experiment.state,
        "share": experiment.share,
        "stages": [{"share": each.share, "since": each.since} for each in experiment.stages],
        "verdict": view.judgement.verdict or "continue",
        "rule": view.judgement.rule,
        "reason": view.judgement.reason,
        "evaluated_at": found.at.isoformat(timespec="seconds"),
        "observations": len(found.observations),
        "planned": protocol.plan.units,
        "difference": None if now is None else {"value": now[0], "low": now[1], "high": now[2]},
        "exposed_patients": treated.patients + found.crossed,
        "arms": {arm: vars(counts) for arm, counts in found.arms.items()},
        "silent_patients": found.silent,
        "crossed": found.crossed,
        "unpaired": found.unpaired,
        "allocation": None
        if found.allocation is None
        else {
            "treated": found.allocation.treated,
            "expected": round(found.allocation.expected, 1),
            "n": found.allocation.n,
            "p": found.allocation.p_value,
        },
        "guardrails": [
            {
                "name": each.name,
                "hits": each.hits,
                "n": each.n,
                "limit": each.limit,
                "p": None if each.evidence is None else each.evidence.p_value,
                "crossed": each.evidence is not None and each.evidence.crossed_at is not None,
            }
            for each in found.guardrails
        ],
        "checklist": [
            {"item": each.key, "asks": each.asks, "answer": each.answer or "A person must say this."}
            for each in checklist(protocol, spec)
        ],
    }


def shadow_report(view: ExperimentView) -> dict[str, Any]:
    """Champion and challenger on the same answers: scores, alerts, tiers, calibration, net benefit of known outcomes.

    ``verdict`` is ``insufficient`` without a pair.
    """
    protocol = view.experiment.protocol
    pairs = [each for each in view.log.exposures if each.shadow is not None and each.shadow.risk is not None]
    if not pairs:
        return {"verdict": "insufficient", "pairs": 0, "unpaired": view.evaluation.unpaired}
    champion, challenger = _both(pairs)
    final = final_outcomes(protocol, view.log, now=view.evaluation.at)
    known = [(place, outcome[0]) for place, each in enumerate(pairs) if (outcome := final(each)) is not None]
    events = np.array([event for _, event in known], dtype=float)
    places = [place for place, _ in known]
    first = {each.subject: each for each in reversed(pairs)}
    difference = paired_difference(protocol, list(first.values()), final)
    benefit = None
    if difference is not None:
        rho = tuned_rho(100.0, alpha=protocol.plan.alpha / 2)
        sequence = difference.sequence(rho=rho, alpha=protocol.plan.alpha)
        benefit = {
            "n": int(sequence.n[-1]),
            "value": float(sequence.estimate[-1]),
            "low": float(sequence.low[-1]),
            "high": float(sequence.high[-1]),
        }
    alerts = np.array([_alerts(each) for each in pairs])
    tiers = [(_tiers(each)) for each in pairs]
    return {
        "verdict": "compared",
        "pairs": len(pairs),
        "unpaired": view.evaluation.unpaired,
        "mean_risk": {"champion": float(champion.mean()), "challenger": float(challenger.mean())},
        "mean_difference": float((challenger - champion).mean()),
        "largest_difference": float(np.abs(challenger - champion).max()),
        "alert_share": {"champion": float(alerts[:, 0].mean()), "challenger": float(alerts[:, 1].mean())},
        "same_alert": float((alerts[:, 0] == alerts[:, 1]).mean()),
        "tiers": [{"champion": a, "challenger": b, "n": tiers.count((a, b))} for a, b in sorted(set(tiers), key=str)],
        "outcomes": len(known),
        "calibration": {
            "observed": float(events.mean()),
            "champion_expected": float(champion[places].mean()),
            "challenger_expected": float(challenger[places].mean()),
        }
        if known
        else None,
        "net_benefit_difference": benefit,
    }


def report_folder(settings: Settings, cohort: str) -> Path:
    """Where pages and numbers of a cohort's experiments lie."""
    return settings.data / "reports" / cohort / "experiments"


def page_path(settings: Settings, cohort: str, name: str) -> Path:
    """The page of an experiment."""
    return report_folder(settings, cohort) / f"{name}.html"


def write_reports(settings: Settings, spec: CohortSpec, view: ExperimentView) -> Path:
    """Write the page of an experiment and its numbers beside it.

    Returns
    -------
    Path
        The page.
    """
    report, shadow = experiment_report(view, spec), shadow_report(view)
    folder = report_folder(settings, spec.name)
    folder.mkdir(parents=True, exist_ok=True)
    name = view.experiment.protocol.name
    write_whole(folder / f"{name}.json", readable_json({"experiment": report, "shadow": shadow}))
    return write_whole(page_path(settings, spec.name, name), render_page(_page(spec, view, report, shadow)))


def _page(spec: CohortSpec, view: ExperimentView, report: dict[str, Any], shadow: dict[str, Any]) -> ExperimentPage:
    protocol = view.experiment.protocol
    verdict = str(report["verdict"])
    arms = [{"arm": arm, **counts} for arm, counts in report["arms"].items()]
    sections = [
        ExperimentSection(
            "Verdict",
            f"{report['reason']} {report['exposed_patients']} patients were exposed to the challenger.",
            badge=Badge(COLOURS.get(verdict, "grey"), verdict.replace("_", " ")),
            pictures=_pictures(spec, view),
        ),
        ExperimentSection("Arms", "A patient counts by the first exposure.", table=_table("Arms", arms)),
        ExperimentSection(
            "Guardrails",
            "Rates of the challenger's arm; p holds at every look.",
            table=_table("Guardrails", report["guardrails"]),
        ),
        ExperimentSection("Allocation", "Units by arm.", table=_table("Allocation", [report["allocation"] or {}])),
        ExperimentSection(
            "Same answers, both models", _shadow_words(shadow), table=_table("Tiers", shadow.get("tiers", []))
        ),
        ExperimentSection("Stages", "Since when which share.", table=_table("Stages", report["stages"])),
        ExperimentSection(
            "SPIRIT-AI and DECIDE-AI",
            "What is not filled, a person must say.",
            table=_table("Items", report["checklist"]),
        ),
    ]
    return ExperimentPage(
        title=protocol.title,
        synthetic=spec.synthetic,
        cohort=spec.name,
        hypothesis=protocol.hypothesis,
        protocol=protocol.digest,
        champion=protocol.champion,
        challenger=protocol.challenger,
        written_at=dt.datetime.now(dt.UTC).isoformat(sep=" ", timespec="seconds")[:19],
        sections=tuple(sections),
    )


def _pictures(spec: CohortSpec, view: ExperimentView) -> tuple[EmbeddedPicture, ...]:
    """The sequence over time, and how many were exposed."""
    found, protocol = view.evaluation, view.experiment.protocol
    if found.difference is None:
        return ()
    sequence = found.difference.sequence(rho=tuning(protocol), alpha=protocol.plan.alpha)
    every = max(1, sequence.n.size // _MOST_POINTS)
    n, keep = sequence.n[::every], slice(None, None, every)
    figure, panels = figures.stacked_panels("Observations with a final outcome", spec.synthetic, heights=(3, 1))
    top, below = panels
    span = 1.5 * (abs(float(sequence.estimate[-1])) + float(sequence.high[-1] - sequence.estimate[-1]))
    top.fill_between(n, sequence.low[keep], sequence.high[keep], color=figures.INK, alpha=0.15, lw=0)
    top.plot(n, sequence.estimate[keep], color=figures.INK, lw=1.2)
    for edge in {protocol.benefit.promote_above, protocol.benefit.roll_back_below}:
        top.axhline(edge, color=figures.ACCENT, lw=0.9, ls=":")
    top.set_ylim(-max(span, 0.05), max(span, 0.05))
    top.set_ylabel("Challenger minus champion,\nnet benefit per patient", fontsize=8)
    exposed = np.cumsum([each.arm == "challenger" for each in found.observations])
    below.plot(n, exposed[keep], color=figures.ACCENT, lw=1.2)
    below.set_ylabel("Exposed", fontsize=8)
    words = (
        f"Difference {sequence.estimate[-1]:+.4f}, bounds {sequence.low[-1]:+.4f} to {sequence.high[-1]:+.4f} after "
        f"{sequence.n[-1]} observations, {int(exposed[-1])} of them exposed."
    )
    return (EmbeddedPicture.of(figures.png(figure), title="Confidence sequence: holds at every look", alt=words),)


def _shadow_words(shadow: dict[str, Any]) -> str:
    if not shadow["pairs"]:
        return "No answer has a score of both models yet."
    words = (
        f"{shadow['pairs']} answers have a score of both models, {shadow['unpaired']} do not. The challenger's risk is "
        f"{shadow['mean_difference']:+.4f} on average; both agree on the alert in {shadow['same_alert']:.1%}."
    )
    benefit = shadow["net_benefit_difference"]
    if benefit is not None:
        words += (
            f" On the same {benefit['n']} patients with a final outcome its net benefit is {benefit['value']:+.4f} "
            f"({benefit['low']:+.4f} to {benefit['high']:+.4f}) against the champion's."
        )
    return words


def _table(label: str, rows: Sequence[dict[str, Any]]) -> TableView | None:
    if not rows or not rows[0]:
        return None
    columns = list(rows[0])
    return TableView(
        label=label,
        columns=tuple(name.replace("_", " ").capitalize() if len(name) > 1 else name for name in columns),
        numeric=tuple(all(type(row[name]) in (int, float) for row in rows) for name in columns),
        rows=tuple(tuple(_cell(row[name]) for name in columns) for row in rows),
        total=len(rows),
    )


def _cell(value: Any) -> str:
    return value if isinstance(value, str) else shown(value)


def _by_challenger(each: Exposure) -> bool:
    return each.arm == "challenger" and not each.failed


def _both(pairs: Sequence[Exposure]) -> tuple[Any, Any]:
    """Risks of champion and of challenger."""
    answered = np.array([each.risk for each in pairs])
    other = np.array([each.shadow.risk for each in pairs if each.shadow is not None])
    mine = np.array([_by_challenger(each) for each in pairs])
    return np.where(mine, other, answered), np.where(mine, answered, other)


def _alerts(each: Exposure) -> tuple[bool, bool]:
    assert each.shadow is not None
    both = (each.is_alert, each.shadow.is_alert)
    return both[::-1] if _by_challenger(each) else both


def _tiers(each: Exposure) -> tuple[str, str]:
    assert each.shadow is not None
    both = (each.tier, str(each.shadow.tier))
    return both[::-1] if _by_challenger(each) else both
