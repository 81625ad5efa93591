"""A study and its ablations as JSON files, whole or not there, so that an ablation can retrain what a study saved.

What belongs here: writing results and reading a study back. What does not: tables of the stages before
(``expression_store``).

A study's file carries the digest of its content, the plan it was run with, and the digests of the expression and the
scores it was made from; it is refused when any of them has changed.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from clinical_assets.foundation.atomic_files import PRIVATE, write_whole
from clinical_assets.foundation.canonical import facts_digest, plain, readable_json
from clinical_assets.foundation.stored_format import FIELD, format_of
from clinical_assets.pathways.results.expression_store import KeptError, StoredResult
from clinical_assets.pathways.study.ablation_results import AblationResult
from clinical_assets.pathways.study.plain_results import honest_protocol_of, null_of, study_protocol_of
from clinical_assets.pathways.study.study_results import ChoiceNull, NullRow, StudyResult, StudyRow, ablated_of

FORMAT = 1
STUDY, ABLATION = "micro_cohort_study.json", "ablation_report.json"


def keep_study(
    folder: Path, result: StudyResult, *, plan: Mapping[str, Any], expression: str, scores: str
) -> StoredResult:
    """Write a study with its plan (plain values) and the digests of what it was made from."""
    facts = {"headline": result.headline(), "plan": _plain(plan), "result": _plain(result)}
    return _write(folder / STUDY, facts, {"expression": expression, "scores": scores})


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
    return _write(folder / ABLATION, {"result": _plain(reports)}, {"study": study})


def read_kept(path: Path, *, asset: str) -> tuple[dict[str, Any], dict[str, str], str]:
    """Content, digests of what it was made from, and the digest of a result's file; refused if they do not fit."""
    if not path.is_file():
        raise KeptError(f"{path.name} is not there yet", cure=f"materialise {asset}")
    try:
        said = json.loads(path.read_text(encoding="utf-8"))
        format_of(said, newest=FORMAT, where=path.name)
        facts, made_from, digest = said["facts"], said["made_from"], said["digest"]
    except (UnicodeDecodeError, KeyError, TypeError, ValueError) as error:
        raise KeptError(f"{path.name} cannot be understood: {error}", cure=f"materialise {asset} again") from error
    if facts_digest(facts) != digest:
        raise KeptError(f"the content of {path.name} does not fit its digest", cure=f"materialise {asset} again")
    return facts, made_from, digest


#: Parts that results of earlier versions lack; left out where they hold nothing, so that digests stay what they were.
_LATER = frozenset({"chosen_by", "ablated", "falls"})


def _plain(value: Any) -> Any:
    # What is not finite stays, so that a result with such a number is refused rather than altered.
    return _without_later(plain(value, finite=False))


def _without_later(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _without_later(v) for k, v in value.items() if k not in _LATER or v}
    return [_without_later(item) for item in value] if isinstance(value, list) else value


def _write(path: Path, facts: Mapping[str, Any], made_from: Mapping[str, str]) -> StoredResult:
    digest = facts_digest(facts)
    said = {FIELD: FORMAT, "digest": digest, "made_from": dict(made_from), "facts": facts}
    write_whole(path, readable_json(said), mode=PRIVATE)
    return StoredResult(path, digest)


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
