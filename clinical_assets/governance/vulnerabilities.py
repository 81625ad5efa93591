"""Installed packages against known vulnerabilities that lie on disk; nothing is asked of a network.

Three shapes of file are understood: a folder of OSV records (https://ossf.github.io/osv-schema, as osv.dev exports
them for PyPI), one JSON file with a list of them, and a report of ``pip-audit --format json``.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from clinical_assets.errors import ClinicalAssetsError

OLDEST_DAYS = 90


class AdvisoriesUnreadable(ClinicalAssetsError):
    """A file of advisories that is missing or cannot be understood."""


@dataclass(frozen=True)
class Vulnerability:
    """One known vulnerability of one installed package; ``fixed`` names versions without it."""

    id: str
    package: str
    version: str
    fixed: tuple[str, ...]

    def __str__(self) -> str:
        cure = f", fixed in {', '.join(self.fixed)}" if self.fixed else ""
        return f"{self.package} {self.version}: {self.id}{cure}"


@dataclass(frozen=True)
class Audit:
    """What comparing came to.

    Attributes
    ----------
    advisories : int
        Records about Python packages; of a report, packages that it looked at.
    newest : datetime or None
        Age of the advisories: the newest record's last change, or when the report was written.
    found : tuple of Vulnerability
    unchecked : tuple of str
        Installed packages of which a report says nothing, as ``name version``; none for OSV records.
    """

    advisories: int
    newest: dt.datetime | None
    found: tuple[Vulnerability, ...]
    unchecked: tuple[str, ...] = ()


def audit(installed: Mapping[str, str], advisories: Path) -> Audit:
    """Compare installed packages with advisories.

    Parameters
    ----------
    installed : mapping
        Version by normalised name.
    advisories : Path
        Folder or file.

    Raises
    ------
    AdvisoriesUnreadable
        Nothing is there, or a record cannot be understood; names it.
    """
    if advisories.is_dir():
        records = [(path.name, _load(path)) for path in sorted(advisories.rglob("*.json"))]
        return _against_records(installed, records)
    content = _load(advisories)
    if isinstance(content, dict) and "dependencies" in content:
        return _against_report(installed, content, advisories)
    if isinstance(content, list):
        return _against_records(installed, [(f"{advisories.name}[{i}]", each) for i, each in enumerate(content)])
    return _against_records(installed, [(advisories.name, content)])


def _load(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise AdvisoriesUnreadable(
            f"Advisories {path.name} cannot be read as JSON ({type(error).__name__}).",
            cure="Point CLINICAL_ASSETS_ADVISORIES at a folder of OSV records or a report of pip-audit.",
        ) from error


def _against_records(installed: Mapping[str, str], records: Iterable[tuple[str, Any]]) -> Audit:
    from packaging.version import InvalidVersion

    known: int = 0
    newest: dt.datetime | None = None
    found: dict[tuple[str, str], Vulnerability] = {}
    for where, record in records:
        try:
            about = list(_affected(record))
            if not about or record.get("withdrawn"):
                continue
            known += 1
            changed = _moment(record["modified"])
            newest = changed if newest is None or changed > newest else newest
            for name, affected in about:
                version = installed.get(name)
                if version is not None and _applies(version, affected):
                    found[record["id"], name] = Vulnerability(record["id"], name, version, _fixes(affected))
        except (KeyError, TypeError, AttributeError, ValueError, InvalidVersion) as error:
            raise AdvisoriesUnreadable(
                f"Advisory {where} is no OSV record: {type(error).__name__} {error}.",
                cure="Take it out, or export the advisories again.",
            ) from error
    return Audit(known, newest, tuple(found[key] for key in sorted(found)))


def _affected(record: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    from packaging.utils import canonicalize_name

    for affected in record.get("affected", []):
        package = affected.get("package", {})
        if package.get("ecosystem") == "PyPI":
            yield canonicalize_name(package["name"]), affected


def _applies(version: str, affected: Mapping[str, Any]) -> bool:
    """Whether a version is affected, as the OSV schema defines it: listed, or inside a range of the ecosystem."""
    from packaging.version import InvalidVersion, Version

    here = Version(version)
    for listed in affected.get("versions", []):
        try:
            if Version(listed) == here:
                return True
        except InvalidVersion:  # older advisories list names that are no version today
            if listed == version:
                return True
    return any(
        _inside(here, each["events"])
        for each in affected.get("ranges", [])
        if each.get("type") in ("ECOSYSTEM", "SEMVER")
    )


def _inside(here: Any, events: Iterable[Mapping[str, str]]) -> bool:
    from packaging.version import Version

    order = {"introduced": 0, "fixed": 1, "last_affected": 2, "limit": 3}
    steps = sorted(
        (Version("0.dev0" if value == "0" else value), order[kind])
        for each in events
        for kind, value in each.items()
        if value != "*"
    )
    affected = False
    for at, kind in steps:
        if kind == 0 and here >= at:
            affected = True
        elif (kind in (1, 3) and here >= at) or (kind == 2 and here > at):
            affected = False
    return affected


def _fixes(affected: Mapping[str, Any]) -> tuple[str, ...]:
    found = [event["fixed"] for each in affected.get("ranges", []) for event in each["events"] if "fixed" in event]
    return tuple(dict.fromkeys(found))


def _against_report(installed: Mapping[str, str], report: Mapping[str, Any], path: Path) -> Audit:
    from packaging.utils import canonicalize_name

    found: list[Vulnerability] = []
    looked_at: dict[str, str] = {}
    try:
        for package in report["dependencies"]:
            name, version = canonicalize_name(package["name"]), package.get("version")
            if version is None:  # skipped by pip-audit, with its reason
                continue
            looked_at[name] = version
            if installed.get(name) == version:
                found += [
                    Vulnerability(each["id"], name, version, tuple(each.get("fix_versions", ())))
                    for each in package["vulns"]
                ]
    except (KeyError, TypeError, AttributeError) as error:
        raise AdvisoriesUnreadable(
            f"{path.name} is no report of pip-audit: {type(error).__name__} {error}.",
            cure="Write it again: pip-audit --format json",
        ) from error
    unchecked = [f"{name} {version}" for name, version in installed.items() if looked_at.get(name) != version]
    written = dt.datetime.fromtimestamp(path.stat().st_mtime, dt.UTC)
    return Audit(len(looked_at), written, tuple(found), tuple(unchecked))


def _moment(text: str) -> dt.datetime:
    moment = dt.datetime.fromisoformat(text.replace("Z", "+00:00"))
    return moment if moment.tzinfo else moment.replace(tzinfo=dt.UTC)
