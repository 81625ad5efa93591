"""A study and its ablations as JSON files, whole or not there, so that an ablation can retrain what a study saved.

What belongs here: writing results and reading a study back. What does not: tables of the stages before
(``expression_store``).

A study's file carries the digest of its content, the plan it was run with, and the digests of the expression and the
scores it was made from; it is refused when any of them has changed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from clinical_assets.foundation.canonical import plain
from clinical_assets.pathways.results.kept_results import (
    ABLATION,
    STUDY,
    KeptError,
    StoredResult,
    read_kept,
    write_kept,
)
from clinical_assets.pathways.study.ablation_results import AblationResult
from clinical_assets.pathways.study.plain_results import honest_protocol_of, null_of, study_protocol_of
from clinical_assets.pathways.study.study_results import ChoiceNull, NullRow, StudyResult, StudyRow, ablated_of


def keep_study(
    folder: Path, result: StudyResult, *, plan: Mapping[str, Any], expression: str, scores: str
) -> StoredResult:
    """Write a study with its plan (plain values) and the digests of what it was made from."""
    facts = {"headline": result.headline(), "plan": _plain(plan), "result": _plain(result)}
    return write_kept(folder / STUDY, facts, {"expression": expression, "scores": scores})


def read_kept_study(folder: Path, *, plan: Mapping[str, Any], expression: str, scores: str) -> tuple[StudyResult, str]:
    """The study that was written last, and its digest.

    Raises
    ------
    KeptError
        No study is there, its file was changed by hand, or it was made from other data or with another plan.
    """
    facts, made_from, digest = read_kept(folder / STUDY, asset="micro_cohort_study")
    for what, wanted in (("expression", expression), ("scores", scores)):
        if made_from.get(what) != wanted:
            raise KeptError(f"{STUDY} was made from other {what}", cure="materialise micro_cohort_study again")
    if facts["plan"] != _plain(plan):
        changed = sorted(name for name in plan if facts["plan"].get(name) != _plain(plan)[name])
        raise KeptError(
            f"{STUDY} was made with another plan: {', '.join(changed) or 'more options'} changed since",
            cure="materialise micro_cohort_study again",
        )
    return _result(facts["result"]), digest


def keep_ablations(folder: Path, reports: Sequence[AblationResult], *, study: str) -> StoredResult:
    """Write the ablations of a study, with the digest of the `study` whose configurations they retrained."""
    return write_kept(folder / ABLATION, {"result": _plain(reports)}, {"study": study})


#: Parts that results of earlier versions lack; left out where they hold nothing, so that digests stay what they were.
_LATER = frozenset({"chosen_by", "ablated", "falls"})


def _plain(value: Any) -> Any:
    # What is not finite stays, so that a result with such a number is refused rather than altered.
    return _without_later(plain(value, finite=False))


def _without_later(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _without_later(v) for k, v in value.items() if k not in _LATER or v}
    return [_without_later(item) for item in value] if isinstance(value, list) else value


def _result(said: Mapping[str, Any]) -> StudyResult:
    rows = tuple(
        StudyRow(**{**row, "study": study_protocol_of(row["study"]), "honest": honest_protocol_of(row["honest"])})
        for row in said["rows"]
    )
    nulls = tuple(
        NullRow(row["design"], row["family"], null_of(row["study"]), null_of(row["honest"])) for row in said["nulls"]
    )
    # Studies of earlier versions know none of these.
    choice, primary, falls = said.get("choice"), said.get("primary"), said.get("falls")
    return StudyResult(
        **{
            **said,
            "rows": rows,
            "nulls": nulls,
            "choice": None if choice is None else ChoiceNull(null_of(choice["study"]), null_of(choice["honest"])),
            "ablated": ablated_of(said.get("ablated", ())),
            "falls": None if falls is None else ChoiceNull(null_of(falls["study"]), null_of(falls["honest"])),
            "primary": None if primary is None else tuple(primary),
        }
    )
