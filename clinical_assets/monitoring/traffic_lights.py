"""Traffic lights: what a report's verdict means to somebody who has ten seconds."""

from __future__ import annotations

from dataclasses import dataclass

from clinical_assets.monitoring.report_type import StoredReport
from clinical_assets.reporting.views import Colour

# Grey says that nothing could be judged; it is never shown as green.
_COLOURS: dict[str, Colour] = {
    "sound": "green",
    "stable": "green",
    "as promised": "green",
    "pass": "green",
    "none": "green",
    "insufficient": "grey",
    "wait": "grey",
    "drift": "amber",
    "intercept": "amber",
    "intercept_and_slope": "amber",
    "refit": "amber",
    "ask": "amber",
    "alarm": "red",
    "worse": "red",
    "fail": "red",
    "repair_data": "red",
}
_WORDS = {
    "none": "no update",
    "wait": "wait",
    "intercept": "update: intercept",
    "intercept_and_slope": "update: intercept, slope",
    "refit": "refit",
    "ask": "decide",
    "repair_data": "repair data",
}


@dataclass(frozen=True)
class Signal:
    """A colour with the word that says the same without it."""

    colour: Colour
    word: str


NOTHING = Signal("grey", "no report")


def signal_of(report: StoredReport | None) -> Signal:
    """The light of a kept report; an unknown verdict is red, because nobody thought of it."""
    if report is None:
        return NOTHING
    verdict = report.verdict
    return Signal(_COLOURS.get(verdict, "red"), _WORDS.get(verdict, verdict))
