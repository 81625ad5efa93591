"""The security gate: nothing in the bundle runs, nothing was swapped, nothing secret is shared, nothing known is open.

Each criterion looks at the files as they are at this moment. What could not be looked at is ``insufficient``; there is
no way to pass without having been checked.
"""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

from clinical_assets.foundation.errors import ClinicalAssetsError
from clinical_assets.governance.candidate.candidate import ReleaseCandidate
from clinical_assets.governance.supply_chain import dependencies, vulnerabilities
from clinical_assets.governance.supply_chain.bill_of_materials import FILE, InvalidBill, keep_bill, make_bill
from clinical_assets.governance.supply_chain.bundle_scan import scan_folder
from clinical_assets.governance.supply_chain.onnx_rules import DOMAINS, graph_problems
from clinical_assets.governance.supply_chain.secrets_scan import scan_release
from clinical_assets.governance.verdicts.verdict import Gate, Outcome, Verdict
from clinical_assets.modelling.bundle.bundle import Bundle
from clinical_assets.modelling.bundle.bundle_files import MODEL, BundleError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


_GATE: Gate = "security"
_SHOWN = 20
_MEGABYTE = 1_000_000


def evaluate(candidate: ReleaseCandidate) -> tuple[Verdict, ...]:
    """Judge a candidate; leaves a software bill of materials in the training's report."""
    installed = dependencies.installed_packages()
    return (
        _digests(candidate),
        _executable(candidate),
        _graph(candidate),
        _size(candidate),
        packages_locked(dependencies.lock_of_checkout(), installed=installed),
        _bill(candidate, installed),
        known_vulnerabilities(installed, candidate.settings.advisories_report),
        _secrets(candidate),
    )


def _verdict(criterion: str, outcome: Outcome, reason: str, **more: Any) -> Verdict:
    return Verdict(_GATE, criterion, outcome, reason, **more)


def _listed(things: tuple[str, ...] | list[str]) -> str:
    return "; ".join(things[:3]) + (f" and {len(things) - 3} more" if len(things) > 3 else "")


def _digests(candidate: ReleaseCandidate) -> Verdict:
    criterion, restore = "bundle_digests", "Restore the bundle from the registry, and find out who changed it."
    try:
        now = Bundle.load(candidate.bundle.folder)
    except (BundleError, OSError) as error:
        said = error.message if isinstance(error, BundleError) else "A file of the bundle cannot be read."
        return _verdict(criterion, "fail", f"{said} {restore}", evidence={"expected": candidate.digest})
    if now.digest != candidate.digest:
        said = f"The folder holds the bundle {now.digest}, not {candidate.digest}. {restore}"
        return _verdict(criterion, "fail", said, evidence={"expected": candidate.digest, "found": now.digest})
    said = "Every file of the bundle has the digest of its manifest, and the manifest that of the bundle."
    return _verdict(criterion, "pass", said, evidence={"expected": candidate.digest, "found": now.digest})


def _executable(candidate: ReleaseCandidate) -> Verdict:
    contents = scan_folder(candidate.bundle.folder)
    found = [f"{each.name}: {each.problem}" for each in contents if each.problem]
    evidence = {"files": {each.name: each.kind for each in contents}, "found": found[:_SHOWN]}
    if found:
        said = (
            f"The bundle's folder is not what a bundle is: {_listed(found)}. Do not load it; train "
            f"{candidate.cohort} again."
        )
        return _verdict("no_executable_content", "fail", said, n=len(contents), evidence=evidence)
    said = (
        f"The folder holds the {len(contents)} files of a bundle and no other; each was read as its own type: an ONNX "
        "graph, JSON, one SQL statement or a booster's text."
    )
    return _verdict("no_executable_content", "pass", said, n=len(contents), evidence=evidence)


def _graph(candidate: ReleaseCandidate) -> Verdict:
    limit = "operators of " + ", ".join(sorted(name for name in DOMAINS if name))
    try:
        content = (candidate.bundle.folder / MODEL).read_bytes()
    except OSError:
        return _verdict("onnx_graph", "fail", f"{MODEL} cannot be read. Restore the bundle.", limit=limit)
    problems = graph_problems(content)
    if problems:
        said = f"{MODEL} is no graph that may be served: {_listed(problems)}. Train {candidate.cohort} again."
        return _verdict("onnx_graph", "fail", said, limit=limit, evidence={"problems": list(problems[:_SHOWN])})
    said = f"{MODEL} passes the ONNX checker, is made of standard operators alone and has all its numbers inside."
    return _verdict("onnx_graph", "pass", said, limit=limit)


def _size(candidate: ReleaseCandidate) -> Verdict:
    size = sum(path.stat().st_size for path in candidate.bundle.folder.rglob("*") if path.is_file()) / _MEGABYTE
    most = candidate.spec.decisions.limits.bundle_mb
    fits = size <= most
    said = f"The bundle has {size:.3g} MB; the limit is {most:g} MB."
    return _verdict(
        "bundle_size",
        "pass" if fits else "fail",
        said if fits else f"{said} Train a smaller model, or raise decisions.limits.bundle_mb.",
        value=size,
        limit=f"<= {most:g} MB",
    )


def packages_locked(lock: Path | None, *, installed: Mapping[str, str] | None = None) -> Verdict:
    """Whether what is installed is what the lock names; without a lock at best ``insufficient``."""
    criterion = "dependencies_locked"
    try:
        compared = dependencies.compare_packages(lock, installed=installed)
    except (dependencies.LockUnreadable, OSError) as error:
        said = f"{error.message} {error.cure}" if isinstance(error, ClinicalAssetsError) else "The lock cannot be read."
        return _verdict(criterion, "fail", said)
    differing, unlocked = list(map(str, compared.differing)), list(map(str, compared.unlocked))
    more: dict[str, Any] = {
        "n": compared.compared,
        "limit": "versions of requirements.lock" if lock else "ranges of the project's metadata",
        "evidence": {
            "against": compared.against,
            "differing": differing[: _SHOWN * 5],
            "not in the lock": unlocked[: _SHOWN * 5],
        },
    }
    if differing:
        said = (
            f"{len(differing)} packages are not what was tested: {_listed(differing)}. Install from the lock: make env."
        )
        return _verdict(criterion, "fail", said, **more)
    if lock is None:
        said = (
            "There is no requirements.lock beside the package; its packages keep the ranges of its metadata, but which "
            "versions were tested is not known here. Run from a checkout, or install from the lock."
        )
        return _verdict(criterion, "insufficient", said, **more)
    if unlocked:
        said = (
            f"{len(unlocked)} installed packages are not in the lock: {_listed(unlocked)}. They were not tested "
            "together; use an environment made from the lock alone: make env."
        )
        return _verdict(criterion, "insufficient", said, **more)
    said = f"All {compared.compared} installed packages have the version of the lock."
    return _verdict(criterion, "pass", said, **more)


def _bill(candidate: ReleaseCandidate, installed: Mapping[str, str]) -> Verdict:
    try:
        text = make_bill(candidate.bundle, title=candidate.spec.title, installed=installed)
    except (InvalidBill, OSError) as error:
        said = error.message if isinstance(error, InvalidBill) else "A file of the bundle cannot be read."
        return _verdict("bill_of_materials", "fail", f"There is no bill of materials: {said}")
    keep_bill(candidate.training.report, text)
    said = f"{FILE} in the training's report lists the model's files and {len(installed)} packages, by the schema."
    return _verdict(
        "bill_of_materials", "pass", said, n=len(installed), evidence={"file": FILE, "format": "CycloneDX 1.6"}
    )


def known_vulnerabilities(
    installed: Mapping[str, str], advisories: Path | None, *, now: dt.datetime | None = None
) -> Verdict:
    """Whether an installed package has a known vulnerability; ``insufficient`` without a report or with an old one."""
    criterion, limit = "known_vulnerabilities", "none known"
    where = "`make advisories` makes one; docs/governance.md says how without a network."
    if advisories is None:
        said = f"Not checked: no report of known vulnerabilities. {where}"
        return _verdict(criterion, "insufficient", said, limit=limit, n=len(installed))
    try:
        found = vulnerabilities.audit(installed, advisories)
    except vulnerabilities.AdvisoriesUnreadable as error:
        return _verdict(criterion, "insufficient", f"Not checked: {error.message} {error.cure}", limit=limit)
    more: dict[str, Any] = {
        "limit": limit,
        "n": len(installed),
        "value": float(len(found.found)),
        "evidence": {
            "packages in the report": found.reported,
            "written": found.written.date().isoformat(),
            "found": list(map(str, found.found[: _SHOWN * 5])),
            "not in the report": list(found.unchecked[: _SHOWN * 5]),
        },
    }
    if found.found:
        said = (
            f"Known vulnerabilities: {len(found.found)}, {_listed(list(map(str, found.found)))}. Update these packages."
        )
        return _verdict(criterion, "fail", said, **more)
    age = ((now or dt.datetime.now(dt.UTC)) - found.written).days
    if age > vulnerabilities.OLDEST_DAYS:
        said = (
            f"The report is {age} days old; what became known since is not in it. Write it again (at most "
            f"{vulnerabilities.OLDEST_DAYS} days old)."
        )
        return _verdict(criterion, "insufficient", said, **more)
    if found.unchecked:
        said = (
            f"The report says nothing about {len(found.unchecked)} installed packages: "
            f"{_listed(list(found.unchecked))}. Write it again in this environment."
        )
        return _verdict(criterion, "insufficient", said, **more)
    said = f"pip-audit knew no vulnerability of the {len(installed)} installed packages on {found.written.date()}."
    return _verdict(criterion, "pass", said, **more)


def _secrets(candidate: ReleaseCandidate) -> Verdict:

    scan = scan_release(candidate.bundle.folder, candidate.settings.catalogue)
    found = list(map(str, scan.findings))
    evidence = {"found": found[: _SHOWN * 5], "too large to read": list(scan.skipped[:_SHOWN])}
    if found:
        said = (
            f"{len(found)} places look like a secret: {_listed(found)}. Take them out, and change what was exposed: "
            "whoever has the files has it."
        )
        return _verdict("no_secrets", "fail", said, n=scan.files, evidence=evidence)
    if scan.skipped:
        said = f"Not checked: {_listed(list(scan.skipped))}, larger than 5 MB. Keep data files out of shared folders."
        return _verdict("no_secrets", "insufficient", said, n=scan.files, evidence=evidence)
    said = f"No secret was found in {scan.files} text files of the bundle and the team's catalogue."
    return _verdict("no_secrets", "pass", said, n=scan.files, evidence=evidence)
