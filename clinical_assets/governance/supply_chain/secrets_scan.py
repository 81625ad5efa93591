"""Secrets in a release: in the text files of a bundle, and in the team's descriptions and SQL.

What belongs here: which files are looked at. What counts as a secret is said by detect-secrets. The project's own files
are looked at before they are committed, by the same library against ``.secrets.baseline``. Values found are never
shown or kept; a finding names file, line and kind.

A line that looks like a secret and is none is marked with ``pragma: allowlist secret`` in a comment.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

_LARGEST = 5 * 1024**2
# Half of a bundle's JSON is digests: texts that only look random count where people type, not there.
_GUESSES = frozenset({"Base64HighEntropyString", "HexHighEntropyString"})
_FILTERS = (
    "allowlist.is_line_allowlisted",
    "heuristic.is_indirect_reference",
    "heuristic.is_likely_id_string",
    "heuristic.is_not_alphanumeric_string",
    "heuristic.is_potential_uuid",
    "heuristic.is_prefixed_with_dollar_sign",
    "heuristic.is_sequential_string",
    "heuristic.is_templated_secret",
)


@dataclass(frozen=True)
class SecretPlace:
    """A place that holds what looks like a secret; the value is left out."""

    file: str
    line: int
    kind: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line} ({self.kind})"


@dataclass(frozen=True)
class SecretsScan:
    """What was looked at and what was found.

    Attributes
    ----------
    files : int
        Text files read.
    findings : tuple of SecretPlace
    skipped : tuple of str
        Text files too large to be read.
    """

    files: int
    findings: tuple[SecretPlace, ...]
    skipped: tuple[str, ...]


def scan_release(bundle: Path, catalogue: Sequence[Path]) -> SecretsScan:
    """Look for secrets in a bundle and in the team's catalogue.

    Parameters
    ----------
    bundle : Path
        Folder of the bundle.
    catalogue : sequence of Path
        The team's folders of descriptions, SQL and small data files.

    Returns
    -------
    SecretsScan
        Files are named below their folder.
    """
    from detect_secrets.core.plugins.util import get_mapping_from_secret_type_to_class
    from detect_secrets.core.scan import scan_file
    from detect_secrets.settings import transient_settings

    kinds: dict[str, type] = get_mapping_from_secret_type_to_class()
    plugins = sorted(kind.__name__ for kind in kinds.values())
    filters = [{"path": f"detect_secrets.filters.{each}"} for each in _FILTERS]
    files = 0
    findings: set[SecretPlace] = set()
    skipped: list[str] = []
    for folder in (bundle, *catalogue):
        used = [{"name": each} for each in plugins if folder != bundle or each not in _GUESSES]
        # Without the filters that ask a service whether a secret still opens something.
        with transient_settings({"plugins_used": used, "filters_used": filters}):
            for path in sorted(each for each in folder.rglob("*") if each.is_file() and not each.is_symlink()):
                name = f"{folder.name}/{path.relative_to(folder).as_posix()}"
                if not _is_text(path):
                    continue
                if path.stat().st_size > _LARGEST:
                    skipped.append(name)
                    continue
                files += 1
                findings |= {SecretPlace(name, each.line_number, each.type) for each in scan_file(str(path))}
    return SecretsScan(files, tuple(sorted(findings, key=str)), tuple(skipped))


def _is_text(path: Path) -> bool:
    with path.open("rb") as file:
        return b"\x00" not in file.read(8192)
