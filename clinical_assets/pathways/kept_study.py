"""A study and its ablations as JSON files, whole or not there, so that an ablation can retrain what a study saved.

What belongs here: writing results and reading a study back. What does not: tables of the stages before (``kept``).

A study's file carries the digest of its content, the plan it was run with, and the digests of the expression and the
scores it was made from; it is refused when any of them has changed.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import numpy as np

from clinical_assets.pathways.ablation import AblationResult
from clinical_assets.pathways.kept import Kept, KeptError, digest_of
from clinical_assets.pathways.protocols import HonestProtocol, Performance, PermutationNull, StudyProtocol
from clinical_assets.pathways.study import NullRow, StudyResult, StudyRow
from clinical_assets.pathways.sweep import Configuration
from clinical_assets.statistics.intervals import Estimate
from clinical_assets.whole_files import PRIVATE, write_whole

STUDY, ABLATION = "micro_cohort_study.json", "ablation_report.json"


def keep_study(folder: Path, result: StudyResult, *, plan: Mapping[str, Any], expression: str, scores: str) -> Kept:
    """Write a study with its plan (plain values) and the digests of what it was made from."""
    facts = {"headline": result.headline(), "plan": plain(plan), "result": plain(result)}
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
    if facts["plan"] != plain(plan):
        changed = sorted(name for name in plan if facts["plan"].get(name) != plain(plan)[name])
        raise KeptError(
            f"{STUDY} was made with another plan: {', '.join(changed) or 'more options'} changed since",
            cure="materialise micro_cohort_study again",
        )
    return _result(facts["result"]), digest


def keep_ablations(folder: Path, reports: Sequence[AblationResult], *, study: str) -> Kept:
    """Write the ablations of a study, with the digest of the `study` whose configurations they retrained."""
    return _write(folder / ABLATION, {"result": plain(reports)}, {"study": study})


def read_kept(path: Path, *, asset: str) -> tuple[dict[str, Any], dict[str, str], str]:
    """Content, digests of what it was made from, and the digest of a result's file; refused if they do not fit."""
    if not path.is_file():
        raise KeptError(f"{path.name} is not there yet", cure=f"materialise {asset}")
    try:
        said = json.loads(path.read_text(encoding="utf-8"))
        facts, made_from, digest = said["facts"], said["made_from"], said["digest"]
    except (UnicodeDecodeError, KeyError, TypeError, ValueError) as error:
        raise KeptError(f"{path.name} cannot be understood: {error}", cure=f"materialise {asset} again") from error
    if digest_of(facts) != digest:
        raise KeptError(f"the content of {path.name} does not fit its digest", cure=f"materialise {asset} again")
    return facts, made_from, digest


def plain(value: Any) -> Any:
    """Dataclasses, arrays and tuples as JSON values."""
    if is_dataclass(value) and not isinstance(value, type):
        return {item.name: plain(getattr(value, item.name)) for item in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if hasattr(value, "tolist"):  # arrays and numpy's numbers
        return plain(value.tolist())
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [plain(item) for item in value]
    return value


def _write(path: Path, facts: Mapping[str, Any], made_from: Mapping[str, str]) -> Kept:
    digest = digest_of(facts)
    said = {"digest": digest, "made_from": dict(made_from), "facts": facts}
    write_whole(path, f"{json.dumps(said, indent=1, ensure_ascii=False, allow_nan=False)}\n", mode=PRIVATE)
    return Kept(path, digest)


def _result(said: Mapping[str, Any]) -> StudyResult:
    rows = tuple(
        StudyRow(**{**row, "study": _study(row["study"]), "honest": _honest(row["honest"])}) for row in said["rows"]
    )
    nulls = tuple(
        NullRow(row["design"], row["family"], _null(row["study"]), _null(row["honest"])) for row in said["nulls"]
    )
    return StudyResult(**{**said, "rows": rows, "nulls": nulls})


def _study(said: Mapping[str, Any]) -> StudyProtocol:
    held_out = said["held_out"]
    return StudyProtocol(
        best=_configuration(said["best"]),
        cross_validated=_performance(said["cross_validated"]),
        held_out=None if held_out is None else _performance(held_out),
        train=np.array(said["train"], dtype=np.int64),
        test=np.array(said["test"], dtype=np.int64),
        n_configurations=said["n_configurations"],
    )


def _honest(said: Mapping[str, Any]) -> HonestProtocol:
    return HonestProtocol(
        performance=_performance(said["performance"]),
        called=np.array(said["called"], dtype=np.float64),
        chosen=tuple(_configuration(one) for one in said["chosen"]),
    )


def _null(said: Mapping[str, Any]) -> PermutationNull:
    return PermutationNull(said["observed"], np.array(said["permuted"], dtype=np.float64), said["p_value"])


def _performance(said: Mapping[str, Any]) -> Performance:
    precision = said["precision"]
    return Performance(
        precision=None if precision is None else Estimate(**precision),
        recall=Estimate(**said["recall"]),
        specificity=Estimate(**said["specificity"]),
        balanced_accuracy=Estimate(**said["balanced_accuracy"]),
    )


def _configuration(said: Mapping[str, Any]) -> Configuration:
    return Configuration(said["family"], tuple((name, value) for name, value in said["parameters"]))
