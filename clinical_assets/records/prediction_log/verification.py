"""Whether a prediction log still is what was written.

What belongs here: walking the chain, and holding it against the heads in the audit ledger, so that lines cut off at the
end are missed too. What does not: reading lines (``segments``).
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from clinical_assets.foundation.errors import ClinicalAssetsError
from clinical_assets.foundation.settings import Settings
from clinical_assets.records.ledger.facts.installation import PredictionLogFacts
from clinical_assets.records.ledger.facts.privacy import ErasureFacts
from clinical_assets.records.ledger.ledger import Ledger
from clinical_assets.records.prediction_log.segments import read_log

#: How an erasure's entry calls the lines that it erased.
LOG_LINES = "lines of the prediction log"


@dataclass(frozen=True)
class LogReport:
    """What walking a log came to.

    Attributes
    ----------
    lines, erased : int
        Lines that were read, and those without content.
    heads : int
        Heads in the ledger that the log was held against.
    clock_set_back : int
        Lines whose time is before that of the line before them; nothing is wrong with them.
    problem : str or None
        What is wrong; None where nothing is.
    """

    lines: int
    erased: int
    heads: int
    clock_set_back: int
    problem: str | None

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


def enter_head(ledger: Ledger, cohort: str, *, seq: int, digest: str, actor: str) -> None:
    """Enter the last line of a log into the ledger."""
    ledger.append("prediction_log", actor=actor, cohort=cohort, digest=digest, facts=PredictionLogFacts(seq=seq))


def verify_log(settings: Settings, cohort: str, ledger: Ledger) -> LogReport:
    """Walk a cohort's log from its first line."""
    entries = ledger.entries(action="prediction_log", cohort=cohort)
    heads = {facts.seq: entry.digest for entry in entries if (facts := PredictionLogFacts.found(entry.facts))}
    erasures = (ErasureFacts.found(entry.facts) for entry in ledger.entries(action="erasure", cohort=cohort))
    known = sum(facts.files.get(LOG_LINES, 0) for facts in erasures if facts is not None)
    lines = erased = back = met = 0
    latest = ""
    problem = None
    try:
        for line in read_log(settings, cohort):
            lines += 1
            erased += line.content is None
            back += line.at < latest
            latest = max(latest, line.at)
            if line.seq in heads:
                met += 1
                if heads[line.seq] != line.hash:
                    problem = f"Line {line.seq} is another one than the ledger knows."
                    break
    except ClinicalAssetsError as error:
        problem = error.message
    if problem is None and max(heads, default=0) > lines:
        problem = f"The ledger knows line {max(heads)}, but the log ends with line {lines}."
    if problem is None and erased > known:
        problem = f"{erased} lines are without content, but complete erasures account for {known}."
    return LogReport(lines=lines, erased=erased, heads=met, clock_set_back=back, problem=problem)
