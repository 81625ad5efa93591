"""Results of a micro-cohort that lie beside its tables as JSON: their names, and files that carry their own digest.

What belongs here: a file's shell. What does not: what a study or an ablation says (``study_store``).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from clinical_assets.foundation.atomic_files import PRIVATE, write_whole
from clinical_assets.foundation.canonical import facts_digest, readable_json
from clinical_assets.foundation.errors import ClinicalAssetsError
from clinical_assets.foundation.stored_format import FIELD, format_of

FORMAT = 1
STUDY, ABLATION = "micro_cohort_study.json", "ablation_report.json"
#: Pages made of them: of a study, and the folder of those of its subjects.
STUDY_PAGE, SUBJECT_PAGES = "study.html", "pages"


class KeptError(ClinicalAssetsError):
    """A stage's file that is missing, damaged, or made from other data."""


@dataclass(frozen=True)
class StoredResult:
    """Where a result lies and what its content is called."""

    path: Path
    digest: str


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


def write_kept(path: Path, facts: Mapping[str, Any], made_from: Mapping[str, str]) -> StoredResult:
    """Write what a result says, with the digests of what it was made from."""
    digest = facts_digest(facts)
    said = {FIELD: FORMAT, "digest": digest, "made_from": dict(made_from), "facts": facts}
    write_whole(path, readable_json(said), mode=PRIVATE)
    return StoredResult(path, digest)
