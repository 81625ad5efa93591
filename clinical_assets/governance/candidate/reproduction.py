"""Can the model be made again? From the snapshots it came from to a bundle with the same digest, in a folder apart.

What belongs here: the whole way once more, restore, validate, features, training, bundle, and what differs at the end.
It costs one training. Digests of models are compared on one machine with one set of versions; elsewhere the last digit
of a sum may differ, and that says nothing about the model.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from clinical_assets.cohorts.spec import CohortSpec
from clinical_assets.foundation.canonical import file_sha256, parts_digest
from clinical_assets.foundation.errors import ClinicalAssetsError
from clinical_assets.foundation.settings import Settings
from clinical_assets.governance.candidate.candidate import ReleaseCandidate
from clinical_assets.governance.candidate.kept_description import differing_paths, trained_spec
from clinical_assets.governance.candidate.recalibration_lineage import origin_of
from clinical_assets.modelling.bundle.bundle import Bundle
from clinical_assets.modelling.bundle.bundle_description import DESCRIPTION, BundleManifest
from clinical_assets.modelling.bundle.bundle_files import RUN
from clinical_assets.modelling.trainings.make_bundle import make_bundle
from clinical_assets.modelling.trainings.trainings import processor
from clinical_assets.sources.files import workspace
from clinical_assets.warehouse.features.features import build_features
from clinical_assets.warehouse.snapshots.snapshot_files import find_snapshot, snapshot_path
from clinical_assets.warehouse.snapshots.snapshots import restore_snapshot
from clinical_assets.warehouse.sql.project import SqlProject
from clinical_assets.warehouse.store.warehouse import Warehouse
from clinical_assets.warehouse.validation.validation import validate_cohort

# Rooms whose code decides what a training yields.
_ROOMS = ("cohorts", "foundation", "modelling", "statistics", "warehouse")
_SOFTWARE = ("code_version", "python", "machine")
Status = Literal["equal", "different", "impossible", "not_comparable"]


@dataclass(frozen=True)
class Reproduction:
    """What making it again came to.

    Attributes
    ----------
    status : str
        ``equal``; ``different``: another digest came out; ``impossible``: a step refused; ``not_comparable``: this is
        another machine or other versions, or the description is not kept.
    expected : str
        Digest of the bundle.
    found : str or None
        Digest that came out.
    differences : tuple of str
        In words; empty when equal.
    environment : dict
        Versions and machine of this reproduction.
    seconds : float
        What it cost.
    """

    status: Status
    expected: str
    found: str | None
    differences: tuple[str, ...]
    environment: dict[str, Any]
    seconds: float


def reproduce(candidate: ReleaseCandidate) -> Reproduction:
    """Make a candidate again from its snapshots and compare digests.

    A recalibrated model is checked step by step against the one that it was made from, down to the training that it
    began with, and that one is made again.

    Everything happens in a private folder below ``<data>/temporary``, which is gone afterwards, also when the process
    is killed and another reproduction or reading comes by.
    """
    started = time.perf_counter()
    here = environment(candidate.bundle)

    def came_to(status: Status, *differences: str, found: str | None = None) -> Reproduction:
        took = time.perf_counter() - started
        return Reproduction(status, candidate.digest, found, tuple(differences), here, took)

    try:
        began = origin_of(candidate)
    except ClinicalAssetsError as error:
        return came_to("impossible", error.message)
    if began.problems:
        return came_to("different", *began.problems)
    if began.steps:
        # Each recalibration is what it says; what remains to be made again is the training that they began with.
        first = reproduce(replace(candidate, training=began.training, bundle=began.training.bundle()))
        return replace(
            first, expected=candidate.digest, found=candidate.digest if first.status == "equal" else first.found
        )
    apart = environment_differences(candidate.bundle)
    spec = trained_spec(candidate)
    if spec is None:
        return came_to("not_comparable", "the description that it was trained with is not kept", *apart)
    software = [each for each in apart if not each.startswith("processor")]
    if software:
        return came_to("not_comparable", *apart)
    with workspace(candidate.settings) as folder:
        try:
            warehouse, sql = restore_features(candidate, spec, folder)
            again = make_bundle(spec, warehouse=warehouse, sql=sql, folder=folder / "models").bundle
        except ClinicalAssetsError as error:
            return came_to("impossible", error.message)
        if again.digest == candidate.digest:
            return came_to("equal", found=again.digest)
        told = (*bundle_differences(candidate.bundle, again), *apart)
        # Another processor may round differently; the same one may not.
        return came_to("not_comparable" if apart else "different", *told, found=again.digest)


def restore_features(candidate: ReleaseCandidate, spec: CohortSpec, folder: Path) -> tuple[Warehouse, SqlProject]:
    """Features and outcomes once more from the snapshots of a candidate, in a warehouse below ``folder``.

    Parameters
    ----------
    candidate : ReleaseCandidate
        The model; not a recalibrated one, whose rows come from later records.
    spec : CohortSpec
        The description that it was trained with.
    folder : Path
        Private and passing.

    Raises
    ------
    ClinicalAssetsError
        A snapshot cannot be restored, or a step refuses the records.
    """
    snapshots = candidate.bundle.description.provenance.snapshots
    settings = replace(candidate.settings, data=folder / "data", tracking_uri=None, records_uri=None)
    warehouse, sql = Warehouse(spec.name, settings), SqlProject(candidate.catalogue.sql_folders, spec)
    lend_snapshots(spec, snapshots, lender=candidate.settings, borrower=settings)
    for table, digest in snapshots.items():
        restore_snapshot(warehouse, table, digest)
    validate_cohort(spec, warehouse)
    build_features(spec, sql, warehouse)
    return warehouse, sql


def environment(bundle: Bundle) -> dict[str, Any]:
    """Versions and machine as they are now, in the words of a bundle's provenance, with a digest of the code."""
    libraries: dict[str, str | None] = {}
    for name in sorted(bundle.description.provenance.libraries):
        try:
            libraries[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            libraries[name] = None
    return {
        "code_version": importlib.metadata.version("clinical-assets"),
        "code_digest": code_digest(),
        "python": platform.python_version(),
        "machine": platform.machine(),
        "processor": processor(),
        "libraries": libraries,
    }


def environment_differences(bundle: Bundle) -> tuple[str, ...]:
    """In what this machine differs from the one that trained; empty when in nothing that is known."""
    then = bundle.description.provenance
    now = environment(bundle)
    found = [
        f"{name} was {getattr(then, name)}, is {now[name]}" for name in _SOFTWARE if getattr(then, name) != now[name]
    ]
    found += [
        f"{name} was {version}, is {now['libraries'][name] or 'not installed'}"
        for name, version in then.libraries.items()
        if now["libraries"][name] != version
    ]
    try:
        trained_on = json.loads((bundle.folder / RUN).read_text(encoding="utf-8")).get("processor")
    except (OSError, ValueError):  # outside the digest, so that it may be absent
        trained_on = None
    if trained_on is not None and trained_on != now["processor"]:
        found.append(f"processor was {trained_on}, is {now['processor']}")
    return tuple(found)


def bundle_differences(first: Bundle, second: Bundle) -> tuple[str, ...]:
    """Files of two bundles that differ, and for descriptions the parts."""
    files = [BundleManifest.read(each.folder).files for each in (first, second)]
    found = []
    for name in sorted({*files[0], *files[1]}):
        if files[0].get(name) == files[1].get(name):
            continue
        parts = (
            differing_paths(first.description.to_json(), second.description.to_json()) if name == DESCRIPTION else ()
        )
        found.append(f"{name} differs" + (f" in {', '.join(parts[:8])}" if parts else ""))
    return tuple(found)


def code_digest() -> str:
    """SHA-256 over the code that decides what a training yields."""
    package = Path(__file__).parents[2]
    paths = (path for room in _ROOMS for path in sorted((package / room).rglob("*.py")))
    return parts_digest(*(f"{path.relative_to(package).as_posix()} {file_sha256(path)}\n".encode() for path in paths))


def lend_snapshots(spec: CohortSpec, snapshots: Mapping[str, str], *, lender: Settings, borrower: Settings) -> None:
    """Let another data folder see some snapshots: the same files, not copies, where the disk allows it."""
    for table, digest in snapshots.items():
        kept = find_snapshot(spec.name, table, digest, settings=lender)
        target = snapshot_path(spec.name, table, kept.digest, borrower)
        target.parent.mkdir(parents=True, exist_ok=True)
        for suffix in (".parquet", ".json"):
            source = kept.path.with_suffix(suffix)
            if not source.exists():
                continue  # restoring names what is missing
            try:
                os.link(source, target.with_suffix(suffix))
            except OSError:
                shutil.copyfile(source, target.with_suffix(suffix))
