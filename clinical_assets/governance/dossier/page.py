"""The page of a dossier: what a signer must know, the headline figures and what needs a person first.

What belongs here: turning the dossier's content into the page's view model. What does not: collecting the content
(``content``), and HTML (``clinical_assets.reporting``).
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from typing import Any

from clinical_assets.cohorts.spec import CohortSpec
from clinical_assets.governance.dossier.folder import PENDING
from clinical_assets.modelling.description import class_tables
from clinical_assets.modelling.description.training_results import TrainingResults
from clinical_assets.modelling.trainings import card_sections
from clinical_assets.modelling.trainings.card import METRICS, PICTURES, open_points
from clinical_assets.reporting.formats import fixed, number, share
from clinical_assets.reporting.pages import render_page
from clinical_assets.reporting.views import (
    Badge,
    Colour,
    DossierPage,
    EmbeddedPicture,
    GateView,
    HeadlineFigure,
    JudgedRow,
    TableView,
)

_COLOURS: dict[str, Colour] = {"pass": "green", "fail": "red", "insufficient": "amber"}
_MARKS = {"pass": "✓", "fail": "✗", "insufficient": "?"}
# Below these a number in a table is called small: Collins et al. 2016, doi 10.1002/sim.6787, for the holdout.
SMALL_N, SMALL_EVENTS = 100, 20
# What a reader looks for first: discrimination, calibration, use.
_HEADLINE = (
    "auroc",
    "macro_auroc",
    "quadratic_kappa",
    "calibration_slope",
    "observed_risk",
    "observed_expected_ratio",
    "sensitivity",
    "ppv",
    "alert_rate",
    "net_benefit_advantage",
)
# Parts of the content that the page shows as they are.
_AS_COLLECTED = (
    *("cohort", "synthetic", "bundle_digest", "spec", "results", "approval", "comparison", "stale", "change"),
    *("lineage", "origin", "history", "sbom"),
)
_NUMBER = r"-?\d+(?:\.\d+)?(?:e[+-]?\d+)?"
_ONE_SIDED = re.compile(rf"(>=|<=|>|<|=) ({_NUMBER})(?: MB)?")
_RANGE = re.compile(rf"({_NUMBER})\.\.({_NUMBER})")
# Limits are written with six digits.
_ROUNDING = 1e-5


def dossier_page(
    spec: CohortSpec,
    content: Mapping[str, Any],
    results: TrainingResults,
    *,
    pictures: Mapping[str, bytes],
    files: Mapping[str, str],
) -> str:
    """The dossier as an HTML document.

    Parameters
    ----------
    spec : CohortSpec
        The cohort's description.
    content : mapping
        As ``content.collect`` gives it, with history and bill of materials.
    results : TrainingResults
        What its training found out.
    pictures : mapping
        PNG bytes by name, as a training's report keeps them.
    files : mapping
        SHA-256 of the other content files by name.

    Returns
    -------
    str
        A whole document that holds ``dossier_folder.PENDING`` wherever the dossier's own digest goes.
    """
    comparison = content["comparison"]
    gates = tuple(gate_view(gate, spec) for gate in content["gates"])
    judged = [row for gate in gates for row in (*gate.open, *gate.passed)]
    classes = results.class_performance
    page = DossierPage(
        **{name: content[name] for name in _AS_COLLECTED},
        title=f"Release dossier: {content['spec']['title']}",
        digest_to_sign=PENDING,
        gates=gates,
        failed=tuple(_labelled(row, spec) for row in content["failed"]),
        waivers=tuple(_labelled(row, spec) for row in content["waivers"]),
        beyond=tuple(row for row in judged if row.is_beyond and row.row["verdict"] == "pass"),
        headline=_headline(results, judged),
        is_comparison_small=_is_small(comparison["n"], comparison["events"]),
        is_small=_is_small(results.holdout.n, results.holdout.events),
        is_erased=any(each["touched"] for each in content["history"]["erasures"]),
        labels={name: label for name, (label, _) in METRICS.items()},
        metrics=tuple(
            {"label": label, "reading": reading or "", "found": results.metrics[name].to_json()}
            for name, (label, reading) in METRICS.items()
            if name in results.metrics
        ),
        pictures=tuple(
            _picture(name, title, pictures[name], results) for name, title in PICTURES.items() if name in pictures
        ),
        for_a_person=open_points(spec),
        horizon=card_sections.horizon_of(spec),
        people=_table("Who answers for what", card_sections.people_rows(spec)),
        flow=tuple(card_sections.flow_lines(results)),
        table_one=_table("Table 1", card_sections.table_one_rows(results)),
        table_one_note=card_sections.TABLE_ONE_NOTE,
        model_lines=_model_lines(results),
        terms=_table("Terms", card_sections.term_rows(results.model_terms) if results.model_terms else []),
        importances=_table("Importances", card_sections.importance_rows(results)),
        rates=_table("Rates at several thresholds", card_sections.rate_rows(results)),
        class_lines=tuple(line.replace("**", "").replace("`", "") for line in class_tables.decision_lines(classes)),
        class_tables=(
            _table("Each class against the rest", class_tables.class_rows(classes)),
            _table("Each level or a graver one", class_tables.cut_rows(classes)),
            _table("True class by decided class", class_tables.confusion_rows(classes)),
            _table("What each decision costs", class_tables.cost_rows(classes)),
        ),
        groups=tuple(row.to_json() for row in card_sections.group_rows(spec, results)),
        chai=tuple(_table(name, rows) for name, rows in card_sections.chai_rows(spec, results).items()),
        files=tuple(sorted(files.items())),
        commands=_commands(content["cohort"], content["waivers"]),
    )
    return render_page(page)


def is_beyond(value: float | None, limit: str | None) -> bool:
    """Whether a value lies beyond the limit that a verdict names: ``>= 0.6``, ``< 3``, ``= 0`` or ``0.7..1.4``.

    A limit in other words (``in the plan``) is never exceeded by a number.
    """
    if value is None or limit is None:
        return False
    if (between := _RANGE.fullmatch(limit)) is not None:
        low, high = (float(end) for end in between.groups())
        return value < low - _ROUNDING * abs(low) or value > high + _ROUNDING * abs(high)
    if (found := _ONE_SIDED.fullmatch(limit)) is None:
        return False
    sign, most = found[1], float(found[2])
    room = _ROUNDING * abs(most)
    return {
        ">=": value < most - room,
        ">": value <= most - room if room else value <= most,
        "<=": value > most + room,
        "<": value >= most + room if room else value >= most,
        "=": abs(value - most) > room,
    }[sign]


def _model_lines(results: TrainingResults) -> tuple[str, ...]:
    """What the model is and how certain its risks are, without the marks of Markdown."""
    found = results.model_terms
    lines = [] if found is None else card_sections.model_lines(found)
    return tuple(line.replace("**", "") for line in (*lines, *card_sections.certainty_lines(results)))


def _headline(results: TrainingResults, judged: list[JudgedRow]) -> tuple[HeadlineFigure, ...]:
    """The first figures of the page: those of the verdicts where a gate judged them, those of the report elsewhere."""
    judgements = {each.row["criterion"]: each for each in judged if each.row["gate"] == "performance"}
    figures = []
    for name in _HEADLINE:
        label, reading = METRICS[name]
        judgement = judgements.get(name)
        badge = judgement.badge if judgement else None
        estimate = results.metrics.get(name)
        if judgement and judgement.row["ci_low"] is not None:
            numbers = [judgement.row[part] for part in ("value", "ci_low", "ci_high")]
        else:
            numbers = [] if estimate is None else [estimate.value, estimate.ci_low, estimate.ci_high]
        if numbers:
            value, low, high = map(fixed, numbers)
            figures.append(HeadlineFigure(label, value, f"{low} to {high}", reading, badge))
        elif name in results.insufficient:
            figures.append(HeadlineFigure(label, "–", "could not be estimated", reading, badge))
    return tuple(figures)


def gate_view(gate: Mapping[str, Any], spec: CohortSpec) -> GateView:
    """One gate of a dossier's content, what needs a person first."""
    rank = {"fail": 0, "insufficient": 1, "pass": 2}
    rows = [_judged(row, spec) for row in sorted(gate["verdicts"], key=lambda row: rank[row["verdict"]])]
    needs = [each for each in rows if each.row["verdict"] != "pass" or each.is_beyond]
    return GateView(
        gate=gate["gate"],
        label=gate["label"],
        badge=_badge(gate["outcome"], is_beyond=any(each.is_beyond for each in rows)),
        counted=_counted(gate["verdicts"]),
        open=tuple(needs),
        passed=tuple(each for each in rows if each not in needs),
    )


def _judged(row: Mapping[str, Any], spec: CohortSpec) -> JudgedRow:
    beyond = is_beyond(row["value"], row["limit"])
    badge = _badge(row["verdict"], is_beyond=beyond)
    group = spec.group_of(row["criterion"]) or ""
    return JudgedRow(_labelled(row, spec), badge, is_small=_rests_on_few(row), is_beyond=beyond, group=group)


def _labelled(row: Mapping[str, Any], spec: CohortSpec) -> dict[str, Any]:
    """A verdict's row with labels beside the codes of its reason; the criterion's name stays, for commands."""
    return {**row, "reason": spec.labelled(row["reason"])}


def _badge(word: str, *, is_beyond: bool) -> Badge:
    """A verdict's light; a pass is green only where every value keeps its limit."""
    colour = "amber" if word == "pass" and is_beyond else _COLOURS[word]
    return Badge(colour, f"{_MARKS[word]} {word}")


def _rests_on_few(row: Mapping[str, Any]) -> bool:
    """Whether a verdict stands on few patients; a count of files, tests or columns is not meant."""
    if row["n"] is None:
        return False
    if row["gate"] in ("performance", "bias"):
        return row["n"] < SMALL_N or (row["events"] is not None and row["events"] < SMALL_EVENTS)
    return row["n"] < SMALL_N and (row["ci_low"] is not None or row["verdict"] == "insufficient")


def _counted(verdicts: list[dict[str, Any]]) -> str:
    counts = [(word, sum(row["verdict"] == word for row in verdicts)) for word in ("fail", "insufficient", "pass")]
    words = {"fail": "failed", "insufficient": "insufficient", "pass": "passed"}
    return ", ".join(f"{n} {words[word]}" for word, n in counts if n)


def _table(label: str, rows: list[dict[str, str]]) -> TableView | None:
    if not rows:
        return None
    cells = tuple(tuple(row.values()) for row in rows)
    heads = tuple(f"{name[:1].upper()}{name[1:]}" for name in rows[0])
    return TableView(label, heads, tuple(False for _ in rows[0]), cells, len(cells))


def _is_small(n: int, events: int) -> bool:
    """Fewer than 100 events or non-events, after Collins et al. 2016, doi 10.1002/sim.6787."""
    return events < SMALL_N or n - events < SMALL_N


def _commands(cohort: str, waivers: list[dict[str, Any]]) -> dict[str, str]:
    gate, criterion = (waivers[0]["gate"], waivers[0]["criterion"]) if waivers else ("GATE", "CRITERION")
    which = "--all" if len(waivers) > 1 else f"--gate {gate} --criterion {shlex.quote(criterion)}"
    # Broken where a shell lets a line be continued, so that a copy of it can be pasted.
    signed, more = f"--digest {PENDING}", " \\\n  "
    return {
        "review": f"clinical-assets review {cohort}",
        "approve": more.join(
            (f"clinical-assets approve {cohort}", signed, '--as LOGIN --meaning "WHAT YOU SAY BY SIGNING"')
        ),
        "reject": more.join((f"clinical-assets reject {cohort}", signed, '--as LOGIN --reason "WHY"')),
        "waive": more.join(
            (
                f"clinical-assets waive {cohort}",
                signed,
                which,
                '--as LOGIN --reason "WHY"',
            )
        ),
        "check": f"clinical-assets dossier {cohort} --check",
    }


def _picture(name: str, title: str, png: bytes, results: TrainingResults) -> EmbeddedPicture:
    alt = f"{title}. {_alt(name, results)}".strip()
    # The picture itself carries the word where the records are synthetic; a reader who hears it must be told too.
    return EmbeddedPicture.of(png, title=title, alt=f"Synthetic records. {alt}" if results.synthetic else alt)


def _alt(name: str, results: TrainingResults) -> str:
    """What the picture shows, in the numbers that a reader would take from it."""
    metrics, threshold = results.metrics, results.threshold
    values = {label: metrics[label].value for label in metrics}
    if name == "calibration" and "calibration_slope" in values and "calibration_intercept" in values:
        return (
            f"Observed against predicted risk: slope {number(values['calibration_slope'])}, intercept "
            f"{number(values['calibration_intercept'])}."
        )
    if name == "decision_curve" and "net_benefit_advantage" in values:
        return (
            f"At the threshold {share(threshold.value)} the model's net benefit exceeds the better default by "
            f"{number(values['net_benefit_advantage'])}."
        )
    if name == "cost_curve":
        return f"Cheapest at {share(threshold.optimum)}; in use is {share(threshold.value)}."
    if name == "risk_distribution":
        shown = ", ".join(f"{share(tier.share.value)} {tier.name}" for tier in results.tiers)
        return f"Risks of those with and without the outcome. Share of each tier out of fold: {shown}."
    if name == "contributions":
        largest = ", ".join(list(results.contributions)[:3])
        return f"Features that move the score most: {largest}."
    if name == "candidates":
        return f"AUROC of each candidate with its interval; {results.selected} was chosen. The table below has all."
    return ""
