"""Asking an advisory service about the installed packages, by pip-audit, and keeping its answer as the gate's report.

What belongs here: making the report, and refusing an answer that says nothing. What does not: judging by it
(``vulnerabilities``).

A service that is not there and a mirror that knows no advisories both look like "nothing found". Therefore an old
release with vulnerabilities that everybody knows is asked about first, and a report in which no package was looked at
is none. What cannot be used never takes the place of an earlier report.
"""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

from clinical_assets.foundation.atomic_files import write_whole
from clinical_assets.foundation.errors import ClinicalAssetsError
from clinical_assets.foundation.scratch_folder import scratch_folder
from clinical_assets.foundation.settings import Settings
from clinical_assets.governance.supply_chain.dependencies import PROJECT, installed_packages
from clinical_assets.governance.supply_chain.vulnerabilities import AdvisoriesUnreadable, Audit, audit

#: Three published vulnerabilities, the first of 2014.
KNOWN_VULNERABLE = ("jinja2", "2.4.1")
_CURE = (
    "Let this machine reach the service (PIP_AUDIT_VULNERABILITY_SERVICE and PIP_AUDIT_OSV_URL name another one), or "
    "make the report where there is a network, as docs/governance.md says."
)


class AdvisoriesUnreachable(ClinicalAssetsError):
    """No advisory service answered in a way that says anything about vulnerabilities."""


def write_report(settings: Settings) -> Audit:
    """Ask about every installed package and write ``advisories.json`` into the data folder.

    Parameters
    ----------
    settings : Settings
        Where the data lie.

    Returns
    -------
    Audit
        What the new report says.

    Raises
    ------
    AdvisoriesUnreachable
        When pip-audit is not installed, no service answers, or its answer says nothing; an earlier report stays as it
        was.
    """
    if importlib.util.find_spec("pip_audit") is None:
        raise AdvisoriesUnreachable(
            "pip-audit is not installed, so nothing was asked.", cure='pip install "clinical-assets[audit]"'
        )
    name, version = KNOWN_VULNERABLE
    installed = {each: which for each, which in installed_packages().items() if each != PROJECT}
    with scratch_folder(settings.data / "temporary") as work:
        if not audit({name: version}, _asked({name: version}, work / "known.json")).found:
            raise AdvisoriesUnreachable(
                f"The service that answered knows no vulnerability of {name} {version}, which has published ones: it "
                "has no advisories, and its silence about the installed packages says nothing.",
                cure=_CURE,
            )
        answer = _asked(installed, work / "installed.json")
        found = audit(installed, answer)
        if not found.reported:
            raise AdvisoriesUnreachable("The service that answered knows none of the installed packages.", cure=_CURE)
        write_whole(report_of(settings), answer.read_bytes())
    return found


def report_of(settings: Settings) -> Path:
    """Where the report lies, written or not."""
    return settings.data / "advisories.json"


def _asked(packages: dict[str, str], answer: Path) -> Path:
    """pip-audit's answer about these versions, as a file."""
    wanted = answer.with_suffix(".txt")
    wanted.write_text("".join(f"{name}=={version}\n" for name, version in packages.items()), encoding="utf-8")
    options = ["--no-deps", "--disable-pip", "--format", "json", "--progress-spinner", "off"]
    done = subprocess.run(
        [sys.executable, "-m", "pip_audit", "--requirement", str(wanted), *options, "--output", str(answer)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PIP_AUDIT_LOGLEVEL": "ERROR"},
    )
    # It ends with 1 when it found something, and when it could not ask.
    try:
        audit(packages, answer)
    except AdvisoriesUnreadable:
        told = (done.stderr.strip().splitlines() or [f"it ended with {done.returncode}"])[-1]
        raise AdvisoriesUnreachable(
            f"No advisory service could be asked about known vulnerabilities; pip-audit says: {told[:300]}", cure=_CURE
        ) from None
    return answer
