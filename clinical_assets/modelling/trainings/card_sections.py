"""Sections of the model card: what people say, participants, Table 1, the model's terms, rates, CHAI's fields.

Results of trainings made before these parts were kept have none of them; such a card says so.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from clinical_assets.cohorts.card_statements import OPTIONAL, REQUIRED, CardStatements, is_demonstration, says_nothing
from clinical_assets.cohorts.spec import CohortSpec
from clinical_assets.modelling.description.group_counts import ShownGroup, groups_for_readers
from clinical_assets.modelling.description.model_terms import LOG_HAZARD, direction_in_words
from clinical_assets.modelling.description.risk_certainty import UNCERTAIN
from clinical_assets.modelling.description.training_results import (
    ModelTerms,
    StoredTerm,
    TrainingResults,
)
from clinical_assets.modelling.trainings.chai import chai_fields, contact_of, risk_level_of
from clinical_assets.reporting.formats import interval, words

NOT_STATED = "not stated"
IMPORTANCES = "Importances on the holdout (at most 500 rows):"
TABLE_ONE_NOTE = (
    "Median (quartiles) of numbers, count (share of the column) of categories and two-valued features. Counts from 1 "
    "to 4 are suppressed, and with them what would give them away inside the table. SMD: absolute standardised mean "
    "difference between training and holdout; above 0.1 the parts differ noticeably."
)

Rows = list[dict[str, str]]


def horizon_of(spec: CohortSpec) -> str | None:
    """The horizon in words, or None where it is not stated."""
    days = spec.prediction.horizon_days
    if days is not None:
        return f"{days} day{'' if days == 1 else 's'}"
    said = spec.card.horizon if spec.card else None
    return None if says_nothing(said) else said


def unsaid(spec: CohortSpec) -> dict[str, str]:
    """Points of the card that nobody has written: name, and what it asks for."""
    texts = _texts(spec)
    return {name: asked for name, asked in {**REQUIRED, **OPTIONAL}.items() if says_nothing(texts[name])}


def unowned(spec: CohortSpec) -> dict[str, str]:
    """Points that are marked as a demonstration: name, and what it asks for."""
    texts = _texts(spec)
    return {name: asked for name, asked in {**REQUIRED, **OPTIONAL}.items() if is_demonstration(texts[name])}


def _texts(spec: CohortSpec) -> dict[str, str | None]:
    said = (spec.card or CardStatements()).model_dump(mode="json")
    return {**said, "contact": contact_of(spec), "horizon": horizon_of(spec)}


def people(spec: CohortSpec) -> str:
    """What people say of the model; what nobody said is named where it is required."""
    return "\n\n".join(["## Who answers for what", markdown_table(people_rows(spec))])


def people_rows(spec: CohortSpec) -> Rows:
    """Each point with its statement; points that are not required only where somebody wrote them."""
    texts = {**_texts(spec), "risk_level": risk_level_of(spec.card or CardStatements())}
    return [
        {"point": asked[:1].upper() + asked[1:], "statement": texts[name] or NOT_STATED}
        for name, asked in {**REQUIRED, **OPTIONAL}.items()
        if name in REQUIRED or (texts[name] and name != "horizon")
    ]


def flow(results: TrainingResults) -> str:
    """Participants from the source to the units used."""
    lines = "\n".join(f"- {line}" for line in flow_lines(results))
    return f"## Participants\n\n{lines or 'This training kept no flow of participants.'}"


def flow_lines(results: TrainingResults) -> list[str]:
    """One sentence per table and one on the prediction units; empty where the training kept none."""
    found = results.participants
    if found is None:
        return []
    lines = []
    for table in found.tables:
        reasons = "; ".join(
            f"{each.records} {each.rule.replace('_', ' ')}" + (f" ({each.columns})" if each.columns else "")
            for each in table.reasons
        )
        unreadable = f", {table.unreadable:,} unreadable lines" if table.unreadable else ""
        lines.append(
            f"{table.table}: {table.raw:,} records found{unreadable}; {table.refused:,} refused"
            + (f" ({reasons}; a record may have several reasons)" if reasons else "")
            + f"; {table.validated:,} validated."
        )
    excluded = "; ".join(f"{each.units:,} {each.reason}" for each in found.excluded)
    lines.append(
        f"Prediction units: {found.units:,}; {found.units - found.used:,} excluded"
        + (f" ({excluded})" if excluded else "")
        + f"; {found.used:,} used, {results.train.n:,} to train on and {results.holdout.n:,} held out."
    )
    return lines


def table_one(results: TrainingResults) -> str:
    """Characteristics by outcome, training beside holdout."""
    rows = table_one_rows(results)
    table = f"{TABLE_ONE_NOTE}\n\n{markdown_table(rows)}" if rows else "This training kept no Table 1."
    return f"## Table 1: characteristics by outcome\n\n{table}"


def table_one_rows(results: TrainingResults) -> Rows:
    """Rows of Table 1 as a reader sees them; empty where the training kept none."""
    found = results.table_one
    if found is None:
        return []
    heads = [f"{each.part}, {each.label} (n = {each.n})" for each in found.columns]
    return [
        {
            "characteristic": f"{words(row.name)}: {row.level}" if row.level else words(row.name),
            **dict(zip(heads, row.cells, strict=True)),
            "SMD": "-" if row.smd is None else f"{row.smd:.2f}",
        }
        for row in found.rows
    ]


def model(results: TrainingResults) -> str:
    """What the model is: settings, terms, imputation, recalibration, importances with their directions."""
    found = results.model_terms
    if found is None:
        return "## The model\n\nThis training kept no terms of the model; the bundle holds them."
    lines = ["## The model", *model_lines(found)]
    lines += certainty_lines(results)
    if found.terms:
        lines.append(markdown_table(term_rows(found)))
    importances = importance_rows(results)
    if importances:
        lines += [IMPORTANCES, markdown_table(importances)]
    return "\n\n".join(lines)


def model_lines(found: ModelTerms) -> list[str]:
    """Kind, settings, recalibration and treatment of missing values of ``model_terms``, in sentences."""
    settings = ", ".join(f"{name} = {_value(value)}" for name, value in found.settings.items()) or "none"
    maps = found.recalibration
    return [
        f"{found.kind.replace('_', ' ').capitalize()}; settings: {settings}; class imbalance: {found.imbalance}. "
        f"Recalibration of the log-odds: intercept {_list(maps.intercepts)}, slope {_list(maps.slopes)}.",
        filling(found),
        _sum_of_terms(found)
        if found.terms
        else "A model of this kind has no coefficients; its parts are in the bundle, its importances below.",
    ]


def _sum_of_terms(found: ModelTerms) -> str:
    total = f"{found.intercept:.6g} plus coefficient times value of every term"
    flags = "A flag is 1 where the feature is missing, and 0 elsewhere."
    if found.scale != LOG_HAZARD:
        return f"The served log-odds are {total}; the risk is 1 / (1 + exp(-log-odds)). {flags}"
    maps = found.recalibration
    return (
        f"The log cumulative hazard at the horizon is {total}; the risk before recalibration is "
        f"1 - exp(-exp(log cumulative hazard)), and the served log-odds are {maps.intercepts[0]:.6g} plus "
        f"{maps.slopes[0]:.6g} times its log-odds. {flags}"
    )


def certainty_lines(results: TrainingResults) -> list[str]:
    """How certain the risks are, in sentences; empty where the training kept nothing about it."""
    found = results.risk_certainty
    if found is None:
        return []
    if found.level is None:
        return [f"**Risks come without an interval.** {found.statement}"]
    return [
        f"**Every risk comes with a {100 * found.level:.0f} % interval.** {found.statement}",
        f"On the holdout (n = {found.n:,}) the interval is {_points(found.median_width)} wide at the median, and wider "
        f"than {_points(found.tenth_width)} for one person in ten. The chance that the true risk lies in another tier "
        f"is {_share(found.mean_other_tier_prob)} on average; {_share(found.uncertain_tier_share)} of the people have "
        f"one of {_share(UNCERTAIN)} or more.",
    ]


def term_rows(found: ModelTerms) -> Rows:
    """Terms of a linear model."""
    return [
        {
            "term": term.feature + (" is missing" if term.is_flag else ""),
            "coefficient": f"{term.coefficient:.6g}",
            f"{'hazard' if found.scale == LOG_HAZARD else 'odds'} ratio per SD": f"{term.odds_ratio_per_sd:.3f}",
            "SD": f"{term.sd:.4g}",
            "missing becomes": _imputed(found, term),
        }
        for term in found.terms
    ]


def importance_rows(results: TrainingResults) -> Rows:
    """Features by their mean absolute contribution, each with its direction."""
    labels = results.feature_labels
    return [
        {
            "feature": words(name),
            **({"what it is": labels.get(name, "-").removesuffix(".")} if labels else {}),
            "mean absolute contribution (log-odds)": f"{value:.3f}",
            "direction": direction_in_words(results.directions.get(name)),
        }
        for name, value in results.contributions.items()
    ]


def filling(found: ModelTerms) -> str:
    """How missing values are treated, in a sentence."""
    flagged = [words(each.feature) for each in found.preparation if each.flagged]
    dropped = [words(each.feature) for each in found.preparation if not each.used]
    how = (
        "Missing values become the training median"
        if any(each.imputed is not None for each in found.preparation)
        else "Missing values are read as missing"
    )
    flags = f"; a flag says so for {', '.join(flagged)}" if flagged else "; no flags"
    constant = f". Constant and therefore left out: {', '.join(dropped)}" if dropped else ""
    return f"{how}{flags}{constant}."


def rates(results: TrainingResults) -> str:
    """Rates at several thresholds."""
    rows = rate_rows(results)
    return "\n\n".join(["### Rates at several thresholds, holdout", markdown_table(rows)]) if rows else ""


def rate_rows(results: TrainingResults) -> Rows:
    """One row per threshold, its rates with their intervals; empty where the training kept none."""
    names = ("sensitivity", "specificity", "ppv", "npv", "alert_rate")
    return [
        {
            "threshold": f"{100 * row.threshold:.4g} %",
            "is": row.role,
            **{words(each): interval(found) if (found := getattr(row, each)) else "insufficient" for each in names},
        }
        for row in results.rates
    ]


def group_rows(spec: CohortSpec, results: TrainingResults) -> list[ShownGroup]:
    """Rows of ``subgroups`` and age groups, with groups as a reader knows them and small counts suppressed."""
    found = groups_for_readers([*results.age_groups, *results.subgroups])
    return [row.model_copy(update={"group": spec.group_label(row.attribute, row.group)}) for row in found]


def chai(spec: CohortSpec, results: TrainingResults) -> str:
    """CHAI's applied model card, field by field."""
    lines = ["## CHAI applied model card"]
    for section, rows in chai_rows(spec, results).items():
        lines += [f"### {section}", markdown_table(rows)]
    return "\n\n".join(lines)


def chai_rows(spec: CohortSpec, results: TrainingResults) -> dict[str, Rows]:
    """CHAI's fields by section, with their content as text."""
    return {
        section: [{"field": name, "content": _content(value)} for name, value in fields.items()]
        for section, fields in chai_fields(spec, results).items()
    }


def markdown_table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Rows of plain values with the same keys as a table."""
    head = list(rows[0])
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    lines += ["| " + " | ".join(str(row[name]).replace("|", "\\|") for name in head) + " |" for row in rows]
    return "\n".join(lines)


def _content(value: Any) -> str:
    if value is None or value in ("", []):
        return NOT_STATED
    if isinstance(value, Mapping):
        return " ".join(f"{name}: {_content(each)}" for name, each in value.items())
    return "; ".join(map(str, value)) if isinstance(value, list) else str(value)


def _imputed(found: ModelTerms, term: StoredTerm) -> str:
    if term.is_flag:
        return "-"
    value = next(each.imputed for each in found.preparation if each.feature == term.feature)
    return "-" if value is None else f"{value:.4g}"


def _points(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.1f} percentage points"


def _share(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.0f} %"


def _list(values: Sequence[float]) -> str:
    return ", ".join(f"{value:.6g}" for value in values)


def _value(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
