"""Secrets in files that are shared: what is under version control, and the team's descriptions and SQL.

What belongs here: which files are looked at and which findings count. The patterns are those of detect-secrets. Values
found are never shown or kept; a finding names file, line and kind.

Formats that only a credential has (keys of clouds and forges, private keys, addresses with a password) count
everywhere. Assigned passwords and random-looking texts count outside tests alone, whose passwords are made up.
"""

from __future__ import annotations

import hashlib
import re
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from detect_secrets.plugins.base import BasePlugin

_LARGEST = 5 * 1024**2
_LONGEST_LINE = 4000
_TESTS = "assets_tests"
_PATTERNS = (
    *("ArtifactoryDetector", "AWSKeyDetector", "AzureStorageKeyDetector", "BasicAuthDetector", "CloudantDetector"),
    *("DiscordBotTokenDetector", "GitHubTokenDetector", "GitLabTokenDetector", "IbmCloudIamDetector"),
    *("IbmCosHmacDetector", "JwtTokenDetector", "MailchimpDetector", "NpmDetector", "OpenAIDetector"),
    *("PrivateKeyDetector", "PypiTokenDetector", "SendGridDetector", "SlackDetector", "SoftlayerDetector"),
    *("SquareOAuthDetector", "StripeDetector", "TelegramBotTokenDetector", "TwilioKeyDetector"),
)
_GUESSES: dict[str, dict[str, float]] = {
    "KeywordDetector": {},
    "Base64HighEntropyString": {"limit": 4.5},
    "HexHighEntropyString": {"limit": 3.0},
}
# A line without any of these cannot hold a finding; most lines are done with here.
_WORTH_A_LOOK = re.compile(
    r"(?i:pass|pwd|secret|token|api_?key|auth|credential|private|account_?key)|://[^/\s]*:[^/\s]*@|-----BEGIN"
    r"|(?=[A-Za-z0-9+/=_-]{16})[A-Za-z+/=_-]*[0-9]|[A-Z0-9]{16}"
)
# Domains that nobody can own (RFC 2606, RFC 6761), and this machine: an address there opens nothing elsewhere.
_NOWHERE = r"(?:127(?:\.\d+){3}|(?:[\w-]+\.)*(?:example(?:\.com|\.org|\.net)?|test|invalid|localhost))(?![\w.-]*\w)"
# Name of an environment variable, and not what it holds.
_VARIABLE = re.compile(r"[A-Z][A-Z]+(_[A-Z]+)+")
# SHA-256 of public values that look like secrets: placeholders and published examples.
_PUBLIC = frozenset(
    hashlib.sha256(text.encode()).hexdigest()
    for text in (
        "password",
        "user:password",
        # SHA-256 of "test", the example of a digest in the handbook.
        "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
    )
)


@dataclass(frozen=True)
class Finding:
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
    findings : tuple of Finding
    skipped : tuple of str
        Text files too large to be read.
    """

    files: int
    findings: tuple[Finding, ...]
    skipped: tuple[str, ...]


def scan_files(files: Sequence[tuple[str, Path]], *, public: frozenset[str] = _PUBLIC) -> SecretsScan:
    """Look for secrets.

    Parameters
    ----------
    files : sequence of (name, path)
        ``name`` is what findings call a file.
    public : set of str
        SHA-256 of values that are known to be public.
    """
    patterns = _plugins({name: {} for name in _PATTERNS})
    guesses = _plugins(_GUESSES)
    findings: list[Finding] = []
    skipped: list[str] = []
    read = 0
    for name, path in files:
        text = _text(path)
        if text is None:
            continue
        if len(text) > _LARGEST:
            skipped.append(name)
            continue
        read += 1
        plugins = patterns if name.split("/")[0] == _TESTS else [*patterns, *guesses]
        findings += _findings(name, text, plugins, public)
    return SecretsScan(read, tuple(findings), tuple(skipped))


def shared_files(catalogue: Sequence[Path] = (), *, checkout: Path | None = None) -> list[tuple[str, Path]]:
    """Files that leave this machine with the project or the team: tracked ones, and the catalogue's.

    Without version control, as in an installed package, the package itself is taken.

    Parameters
    ----------
    catalogue : sequence of Path
        The team's folders.
    checkout : Path, optional
        Instead of the folder above the package.
    """
    package = Path(__file__).parents[1]
    root = checkout or package.parent
    tracked = _tracked(root)
    if tracked is not None:
        found = {path: path.relative_to(root).as_posix() for path in tracked}
    else:
        found = {path: f"{package.name}/{path.relative_to(package).as_posix()}" for path in _below(package)}
    for folder in catalogue:
        for path in _below(folder):
            found.setdefault(path, f"{folder.name}/{path.relative_to(folder).as_posix()}")
    return [(name, path) for path, name in sorted(found.items(), key=lambda each: each[1])]


def _tracked(root: Path) -> list[Path] | None:
    if not (root / ".git").exists():
        return None
    try:
        listed = subprocess.run(
            ["git", "-C", str(root), "ls-files", "-z"], capture_output=True, check=True, timeout=60, text=True
        ).stdout
    except (OSError, subprocess.SubprocessError):  # no git here, or it does not trust the folder
        return None
    return [path for name in listed.split("\0") if name and (path := root / name).is_file()]


def _below(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.rglob("*")):
        if path.is_file() and not path.is_symlink() and "__pycache__" not in path.parts:
            yield path


def _text(path: Path) -> str | None:
    """The text of a file, or None where it is not text; of a large one no more than is needed to see that it is."""
    try:
        with path.open("rb") as file:
            content = file.read(_LARGEST + 1)
    except FileNotFoundError:  # removed since it was listed
        return None
    if b"\x00" in content[:8192]:
        return None
    return content.decode("utf-8", errors="replace")


def _findings(name: str, text: str, plugins: Sequence[BasePlugin], public: frozenset[str]) -> Iterator[Finding]:
    for number, line in enumerate(text.splitlines(), start=1):
        for start in range(0, max(len(line), 1), _LONGEST_LINE):
            part = line[start : start + _LONGEST_LINE]
            if not _WORTH_A_LOOK.search(part):
                continue
            for kind in sorted({kind for kind, value in _values(name, part, plugins) if _hash(value) not in public}):
                yield Finding(name, number, kind)


def _values(name: str, line: str, plugins: Sequence[BasePlugin]) -> Iterator[tuple[str, str]]:
    from detect_secrets.filters import heuristic

    for plugin in plugins:
        for found in plugin.analyze_line(filename=name, line=line, line_number=1):
            value = found.secret_value or ""
            guessed = type(plugin).__name__ in _GUESSES
            if guessed and (
                _VARIABLE.fullmatch(value)
                or heuristic.is_sequential_string(value)
                or heuristic.is_potential_uuid(value)
                or heuristic.is_templated_secret(value)
                or heuristic.is_prefixed_with_dollar_sign(value)
                or heuristic.is_not_alphanumeric_string(value)
                or heuristic.is_indirect_reference(line)
                or heuristic.is_likely_id_string(value, line, plugin)
            ):
                continue
            if type(plugin).__name__ == "BasicAuthDetector" and re.search(f":{re.escape(value)}@{_NOWHERE}", line):
                continue
            yield found.type, value


def _plugins(wanted: dict[str, dict[str, float]]) -> list[BasePlugin]:
    from detect_secrets.core.plugins.util import get_mapping_from_secret_type_to_class

    kinds: dict[str, Any] = get_mapping_from_secret_type_to_class()
    classes = {kind.__name__: kind for kind in kinds.values()}
    return [classes[name](**arguments) for name, arguments in wanted.items()]


def _hash(value: str) -> str:
    return hashlib.sha256(value.encode()).hexdigest()
