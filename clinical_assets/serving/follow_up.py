"""What came of an answer: outcomes that became known, and what people did with the score. In the same log.

What belongs here: finding the prediction a fact is about, telling new facts from known ones. What does not: the log.
"""

from __future__ import annotations

import datetime as dt
import hmac
import threading
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from clinical_assets.cohorts.spec import CohortSpec
from clinical_assets.foundation.canonical import value_digest
from clinical_assets.foundation.settings import Settings
from clinical_assets.records.prediction_log.lines import ACTION, OUTCOME, PREDICTION, LogEntry, LogLine
from clinical_assets.records.prediction_log.segments import find_lines, read_line
from clinical_assets.records.prediction_log.writer import LogReceipt
from clinical_assets.serving.requests.findings import RequestFinding, RequestRefused

MAX_FACTS = 1000
PredictionName = Annotated[str, Field(pattern=r"^[1-9][0-9]{0,17}-[0-9a-f]{16}$", description="As the answer gave it.")]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class OutcomeFact(_Body):
    """What became of one person."""

    prediction: PredictionName
    outcome: str = Field(max_length=200, description="Label of the class that was found.")
    known_at: dt.date | None = Field(None, description="When it became known; by default today (UTC).")


class OutcomesBody(_Body):
    """Late labels; sending the same again changes nothing."""

    outcomes: list[OutcomeFact] = Field(min_length=1, max_length=MAX_FACTS)


class ActionFact(_Body):
    """What people did with one score."""

    prediction: PredictionName
    shown: bool | None = Field(None, description="Whether somebody saw the score.")
    acted: bool | None = Field(None, description="Whether the recommended action was taken.")
    override_reason: str | None = Field(None, max_length=500, description="Why it was not. No name of a person.")


class ActionsBody(_Body):
    """What was shown and done; sending the same again changes nothing."""

    actions: list[ActionFact] = Field(min_length=1, max_length=MAX_FACTS)


class FollowUp:
    """Outcomes and actions of one cohort.

    Parameters
    ----------
    spec : CohortSpec
        The cohort's description.
    settings : Settings
        Where its log lies.
    """

    def __init__(self, spec: CohortSpec, settings: Settings) -> None:
        self.spec, self.settings = spec, settings
        self._mutex = threading.Lock()
        self._read_to = 0
        self._outcomes: dict[int, str] = {}
        self._actions: set[str] = set()

    def outcomes(self, body: OutcomesBody, *, request: str, key: str) -> tuple[list[LogEntry], int]:
        """Entries for outcomes that are new, and how many were known.

        Raises
        ------
        RequestRefused
            A prediction is unknown or was erased, a class is unknown, or another outcome of it is known.
        """
        with self._mutex:
            self._catch_up()
            entries: list[LogEntry] = []
            findings: list[RequestFinding] = []
            known, fresh = 0, dict[int, str]()
            classes = self.spec.target.classes
            for place, fact in enumerate(body.outcomes):
                where = f"/outcomes/{place}"
                line = self._prediction(fact.prediction, where, findings)
                if fact.outcome not in classes:
                    findings.append(
                        RequestFinding(
                            f"{where}/outcome",
                            "category",
                            "is no class of this cohort",
                            "Send one of the classes.",
                            permitted=", ".join(classes),
                        )
                    )
                    continue
                if line is None:
                    continue
                before = self._outcomes.get(line.seq, fresh.get(line.seq))
                if before == fact.outcome:
                    known += 1
                elif before is not None:
                    cure = "Find out which is true; an outcome that is on record is corrected by the cohort's owner."
                    findings.append(
                        RequestFinding(f"{where}/outcome", "conflict", "another outcome is on record", cure)
                    )
                else:
                    fresh[line.seq] = fact.outcome
                    day = fact.known_at or dt.datetime.now(dt.UTC).date()
                    told = {"outcome": classes.index(fact.outcome), "class": fact.outcome, "known_at": day.isoformat()}
                    entries.append(_entry(OUTCOME, request, key, line, told))
            if findings:
                raise RequestRefused(findings)
            return entries, known

    def actions(self, body: ActionsBody, *, request: str, key: str) -> tuple[list[LogEntry], int]:
        """Entries for actions that are new, and how many were known; errors as `outcomes`."""
        with self._mutex:
            self._catch_up()
            entries: list[LogEntry] = []
            findings: list[RequestFinding] = []
            known, fresh = 0, set[str]()
            for place, fact in enumerate(body.actions):
                where = f"/actions/{place}"
                line = self._prediction(fact.prediction, where, findings)
                told = {"shown": fact.shown, "acted": fact.acted, "override_reason": fact.override_reason}
                if not any(value is not None for value in told.values()):
                    cure = "Send `shown`, `acted` or `override_reason`."
                    findings.append(RequestFinding(where, "null", "says nothing", cure))
                if line is None:
                    continue
                name = _name_of_action(line.seq, told)
                if name in self._actions or name in fresh:
                    known += 1
                else:
                    fresh.add(name)
                    entries.append(_entry(ACTION, request, key, line, told))
            if findings:
                raise RequestRefused(findings)
            return entries, known

    def _prediction(self, name: str, where: str, findings: list[RequestFinding]) -> LogLine | None:
        number, _, digits = name.partition("-")
        line = read_line(self.settings, self.spec.name, int(number))
        named = LogReceipt(line.seq, line.hash).name if line is not None else ""
        if line is None or line.kind != PREDICTION or not hmac.compare_digest(named, f"{number}-{digits}"):
            cure = "Send `prediction` as the answer gave it."
            findings.append(RequestFinding(f"{where}/prediction", "unknown", "is no prediction of this cohort", cure))
            return None
        if line.content is None:
            findings.append(RequestFinding(f"{where}/prediction", "erased", "was erased", "Leave it out."))
            return None
        return line

    def _catch_up(self) -> None:
        """Read what was logged since, by this process or another one."""
        wanted = (OUTCOME, ACTION)
        lines, self._read_to = find_lines(self.settings, self.spec.name, kinds=wanted, after=self._read_to)
        for line in lines:
            if line.content is None:
                continue
            if line.kind == OUTCOME:
                self._outcomes.setdefault(int(line.content["prediction"]), str(line.content["class"]))
            elif line.kind == ACTION:
                told = {name: line.content[name] for name in ("shown", "acted", "override_reason")}
                self._actions.add(_name_of_action(int(line.content["prediction"]), told))


def _entry(kind: str, request: str, key: str, line: LogLine, told: Mapping[str, Any]) -> LogEntry:
    assert line.content is not None
    about = {"prediction": line.seq, "unit": line.content["unit"], "subject": line.content["subject"]}
    return LogEntry(kind, request, key, line.digest, {**about, **told})


def _name_of_action(prediction: int, told: Mapping[str, Any]) -> str:
    return value_digest([prediction, *sorted((name, value) for name, value in told.items())])
