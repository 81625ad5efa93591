"""An answer of the service as a person reads it: risk in words and whole people, reasons as bars, a sheet to print.

What belongs here: from the answer's JSON to a view. What does not: the answer (``web.asking``); every number shown is
one of it, or that number rounded.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from clinical_assets.cohorts.spec import CohortSpec
from clinical_assets.reporting.texts import decimal, percent
from clinical_assets.reporting.texts import gettext as _
from clinical_assets.serving.answers import PredictionsAnswer
from clinical_assets.serving.pages.patients.forms import unit_words
from clinical_assets.serving.pages.views import Frequency, LevelBar, ReasonBar, SheetView

#: Half the width of the picture of reasons, in its own units.
_HALF = 100.0


def answer_to_keep(
    answer: PredictionsAnswer,
    *,
    headings: Sequence[str],
    entered: Sequence[Sequence[tuple[str, str]]],
    at: str,
    by: str | None,
) -> dict[str, Any]:
    """What a page keeps of an answer, as plain values; everything shown is made from it.

    Parameters
    ----------
    answer : PredictionsAnswer
        As the service gave it.
    headings : sequence of str
        Who each record is about, as it was written.
    entered : sequence of sequences of (str, str)
        Label and text of what was filled in.
    at, by : str
        When, in UTC, and who asked.
    """
    return {
        "answer": answer.model_dump(mode="json", exclude_unset=True),
        "headings": list(headings),
        "entered": [[list(pair) for pair in each] for each in entered],
        "at": at,
        "by": by or "",
    }


def sheets_of(spec: CohortSpec, kept: Mapping[str, Any], *, recorded: bool) -> tuple[SheetView, ...]:
    """Every person of a kept answer, in the order of the request."""
    return tuple(_sheet(spec, kept, number, recorded=recorded) for number in range(len(kept["headings"])))


def frequency(risk: float, what: str) -> Frequency:
    """A risk as whole people, of 100 or, where that says too little, of 1,000 (Gigerenzer 2007).

    Parameters
    ----------
    risk : float
        From 0 to 1.
    what : str
        What they have.

    >>> frequency(0.234, "disease").text
    'Of 100 patients with values like these, “disease” is expected of about 23.'
    >>> frequency(0.004, "disease").text
    'Of 1,000 patients with values like these, “disease” is expected of about 4.'
    """
    of = 100 if 0.01 <= risk <= 0.99 else 1000
    some = round(of * risk)
    shown = {"of": decimal(of, 0), "some": decimal(some, 0), "what": what}
    if some == 0:
        text = _("Of %(of)s patients with values like these, “%(what)s” is expected of fewer than one.") % shown
    elif some == of:
        text = _("Of %(of)s patients with values like these, “%(what)s” is expected of nearly all.") % shown
    else:
        text = _("Of %(of)s patients with values like these, “%(what)s” is expected of about %(some)s.") % shown
    full, part = divmod(round(100 * risk), 10)
    return Frequency(text, full, part)


def what_is_foretold(spec: CohortSpec) -> str:
    """The class that the risk is of, or the mildest of several with those that are worse."""
    found = spec.target.classes[spec.target.action_from :]
    return found[0] if len(found) == 1 else _("%(class)s or worse") % {"class": found[0]}


def _sheet(spec: CohortSpec, kept: Mapping[str, Any], number: int, *, recorded: bool) -> SheetView:
    answer = kept["answer"]
    given = answer["predictions"][number]
    risk = given.get("risk")
    what = what_is_foretold(spec)
    reasons = given.get("reasons")
    return SheetView(
        heading=kept["headings"][number],
        tier=given["tier"],
        action=given["action"],
        is_alert=given["is_alert"],
        predicted=given["predicted_class"],
        risk=None if risk is None else percent(risk),
        uncertainty=_uncertainty(given, answer["model"]),
        frequency=None if risk is None else frequency(risk, what),
        outcome=f"{spec.target.description.removesuffix('.')}: {what}",
        threshold=percent(answer["threshold"]),
        levels=_levels(spec, given),
        reasons=() if reasons is None else _bars(reasons["contributions"]),
        rest="" if reasons is None else _factor(reasons["rest"]),
        warnings=tuple((_warned(each["code"]), each["detail"]) for each in given["warnings"]),
        entered=tuple((label, text) for label, text in kept["entered"][number]),
        prediction=given["prediction"],
        # In an experiment a record may have been answered by the other model.
        model=given.get("model", answer["model"]["digest"]),
        asked_at=kept["at"][:16].replace("T", " "),
        asked_by=kept["by"],
        intended_use=spec.intended_use,
        not_for=spec.not_for,
        moment=spec.prediction.moment,
        recorded=recorded,
    )


def _uncertainty(given: Mapping[str, Any], model: Mapping[str, Any]) -> tuple[str, ...]:
    """How sure the risk is, where the answer says it, and what that covers; otherwise why it does not."""
    if "risk" not in given:
        return ()
    found = given.get("risk_interval")
    if found is None:
        return (model["uncertainty"],)
    shown = {name: percent(found[name]) for name in ("low", "high", "level", "other_tier_prob")}
    words = _(
        "%(level)s interval of the risk of people with the same values: %(low)s to %(high)s; the chance that it "
        "belongs to another tier is %(other_tier_prob)s."
    )
    return words % shown, model["uncertainty"]


def _levels(spec: CohortSpec, given: Mapping[str, Any]) -> tuple[LevelBar, ...]:
    """How likely each of more than two classes is; no class is told where the risk is not."""
    return tuple(
        LevelBar(
            label=label,
            probability=percent(probability),
            width=round(2 * _HALF * probability, 1),
            is_decided=label == given["predicted_class"],
            is_acted_on=label in spec.target.classes[spec.target.action_from :],
        )
        for label, probability in (given.get("class_probabilities") or {}).items()
    )


def value_shown(contribution: Mapping[str, Any]) -> str:
    """What a feature was; of one whose name says that it is a flag, yes or no."""
    value = contribution["value"]
    if value is None:
        return _("not known")
    if contribution["feature"].startswith(("is_", "has_")) and value in (0, 1):
        return _("yes") if value else _("no")
    return decimal(value, 3)


def _bars(contributions: Sequence[Mapping[str, Any]]) -> tuple[ReasonBar, ...]:
    largest = max((abs(each["contribution"]) for each in contributions), default=0.0) or 1.0
    bars = []
    for each in contributions:
        length = round(_HALF * abs(each["contribution"]) / largest, 1)
        value = value_shown(each)
        unit = f" {unit_words(each['unit'])}" if each["unit"] and each["value"] is not None else ""
        bars.append(
            ReasonBar(
                label=each["label"],
                value=f"{value}{unit}",
                direction={
                    "raises": _("raises the risk"),
                    "lowers": _("lowers the risk"),
                    "leaves": _("leaves the risk as it is"),
                }[each["direction"]],
                factor=_factor(each["contribution"]),
                start=_HALF if each["contribution"] >= 0 else _HALF - length,
                width=length,
            )
        )
    return tuple(bars)


def _factor(contribution: float) -> str:
    """What a share in the log-odds multiplies the odds by."""
    return f"× {decimal(math.exp(max(-700.0, min(700.0, contribution))), 2)}"


def _warned(code: str) -> str:
    """Title of a warning."""
    titles = {
        "mostly_missing": _("Most values are not known"),
        "made_missing": _("Taken for not measured"),
        "implausible": _("Hardly plausible"),
        "outside_training_range": _("Outside what the model has seen"),
        "missing_value": _("Not known"),
        "group_not_judged": _("Not judged for such patients"),
    }
    return titles.get(code, code)
