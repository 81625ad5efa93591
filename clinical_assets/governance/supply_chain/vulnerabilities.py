"""Installed packages against a report of ``pip-audit --format json`` on disk; nothing is asked of a network.

Which version is vulnerable is judged by pip-audit, where there is a network; here its answer is held against what is
installed. ``docs/governance.md`` says how the report is made for a machine that has none.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from clinical_assets.foundation.errors import ClinicalAssetsError
from clinical_assets.governance.supply_chain.dependencies import PROJECT

OLDEST_DAYS = 90


class AdvisoriesUnreadable(ClinicalAssetsError):
    """A report that is missing or cannot be understood."""


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
    """What the report says about the installed packages.

    Attributes
    ----------
    reported : int
        Packages that pip-audit looked at.
    written : datetime
        Time of the file, UTC: the report itself has none.
    found : tuple of Vulnerability
        Of packages that are installed in the version of the report.
    unchecked : tuple of str
        Installed packages of which the report says nothing in this version, as ``name version``.
    """

    reported: int
    written: dt.datetime
    found: tuple[Vulnerability, ...]
    unchecked: tuple[str, ...]


def audit(installed: Mapping[str, str], report: Path) -> Audit:
    """Hold installed packages against a report of pip-audit.

    Parameters
    ----------
    installed : mapping
        Version by normalised name. The project itself is not in any advisory service and is left out.
    report : Path
        Output of ``pip-audit --format json``.

    Raises
    ------
    AdvisoriesUnreadable
        The file is missing or is no such report.
    """
    from packaging.utils import canonicalize_name

    found: list[Vulnerability] = []
    looked_at: dict[str, str] = {}
    try:
        written = dt.datetime.fromtimestamp(report.stat().st_mtime, dt.UTC)
        for package in json.loads(report.read_text(encoding="utf-8"))["dependencies"]:
            name, version = canonicalize_name(package["name"]), package.get("version")
            if version is None:  # skipped by pip-audit, with its reason
                continue
            looked_at[name] = version
            found += [
                Vulnerability(each["id"], name, version, tuple(each["fix_versions"]))
                for each in package["vulns"]
                if installed.get(name) == version
            ]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise AdvisoriesUnreadable(
            f"{report.name} cannot be read as a report of pip-audit ({type(error).__name__}).",
            cure="Point CLINICAL_ASSETS_ADVISORIES at a file that pip-audit --format json wrote.",
        ) from error
    unchecked = [
        f"{name} {version}" for name, version in installed.items() if name != PROJECT and looked_at.get(name) != version
    ]
    return Audit(len(looked_at), written, tuple(found), tuple(unchecked))
