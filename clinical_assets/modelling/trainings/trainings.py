"""Where trainings lie: bundle, report, and a pointer to the newest of each cohort.

``data/models/<cohort>/<training>/`` holds ``bundle/`` (see ``bundle``) and ``report/`` (results, pictures, card);
``latest.json`` beside them names the newest training, or the refusal that stopped it. A folder appears complete or not
at all, and the pointer is switched last.
"""

from __future__ import annotations

import importlib.metadata
import platform
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from clinical_assets.cohorts.spec import CohortSpec
from clinical_assets.foundation import sealed_folder
from clinical_assets.foundation.canonical import plain, readable_json, value_digest
from clinical_assets.foundation.errors import ClinicalAssetsError
from clinical_assets.foundation.sealed_folder import new_folder
from clinical_assets.foundation.settings import Settings
from clinical_assets.foundation.short_digests import whole_digest
from clinical_assets.foundation.stored_format import BadDocument, VersionedDocument
from clinical_assets.modelling.bundle.bundle import Bundle
from clinical_assets.modelling.description.training_results import StoredLeak, TrainingResults
from clinical_assets.modelling.leakage.leak import Leak
from clinical_assets.modelling.search.kinds import KINDS

RESULTS, SPEC = "results.json", "spec.json"
_LATEST = "latest.json"
_LIBRARIES = (
    "scikit-learn",
    "lightgbm",
    "numpy",
    "scipy",
    "imbalanced-learn",
    "optuna",
    "onnx",
    "onnxruntime",
    "duckdb",
)


class NoTraining(ClinicalAssetsError):
    """A cohort that was not trained yet, or whose training was refused."""


class LatestTraining(VersionedDocument):
    """Content of ``latest.json``: the newest training, or the refusal that stopped it.

    Attributes
    ----------
    training : str or None
        Name of its folder; None where it was refused.
    refused : str or None
        Why there is none.
    leakage : tuple of StoredLeak
        What a refusal rests on.
    run_id : str
        The run that made or refused it.
    written_at : str
        UTC.
    """

    training: str | None = None
    refused: str | None = None
    leakage: tuple[StoredLeak, ...] = ()
    run_id: str
    written_at: str


@dataclass(frozen=True)
class Training:
    """One training on disk.

    Attributes
    ----------
    folder : Path
        Holds ``bundle/`` and ``report/``.
    results : TrainingResults
        Content of ``report/results.json``.
    """

    folder: Path
    results: TrainingResults

    @property
    def report(self) -> Path:
        """Folder with results, pictures and card."""
        return self.folder / "report"

    def bundle(self) -> Bundle:
        """The bundle, verified."""
        return Bundle.load(self.folder / "bundle")


def models_folder(settings: Settings, cohort: str) -> Path:
    """Folder of a cohort's trainings."""
    return settings.data / "models" / cohort


def provenance(
    spec: CohortSpec, *, data_digest: str, statement: str, outcome_statement: str, snapshots: Mapping[str, str]
) -> dict[str, Any]:
    """What a bundle was made from: digests of data, description and SQL, and versions of what made it.

    Parameters
    ----------
    spec : CohortSpec
        The cohort's description.
    data_digest : str
        Of the feature table.
    statement, outcome_statement : str
        Compiled SQL of features and outcome.
    snapshots : mapping
        Table name to digest of the raw snapshot.

    Returns
    -------
    dict
        Plain values; the same on one machine for the same inputs.
    """
    return {
        "data_digest": data_digest,
        "snapshots": dict(sorted(snapshots.items())),
        "spec_digest": value_digest(spec.training_facts()),
        "features_sql_digest": value_digest(statement),
        "outcome_sql_digest": value_digest(outcome_statement),
        "code_version": importlib.metadata.version("clinical-assets"),
        "python": platform.python_version(),
        "machine": platform.machine(),
        "libraries": libraries(spec),
    }


def libraries(spec: CohortSpec) -> dict[str, str]:
    """Version of every installed library that a training of the cohort runs."""
    boosters = [name for name in ("xgboost", "xgboost-cpu") if _installed(name)]
    kinds = [KINDS[name] for name in spec.modelling.candidates if name in KINDS]
    own = {name for kind in kinds for name in kind.libraries} - {"xgboost"}  # installed under either of two names
    return {name: importlib.metadata.version(name) for name in sorted({*_LIBRARIES, *boosters, *own})}


def processor() -> str:
    """Model of the processor: sums of floating-point numbers may differ between two in the last digit."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:  # not Linux
        lines = []
    named = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return (named or [platform.processor()])[0] or platform.machine()


def keep(
    settings: Settings,
    cohort: str,
    *,
    bundle: Bundle,
    results: TrainingResults,
    files: Mapping[str, bytes],
    run_id: str,
) -> Training:
    """Keep a training beside its bundle and make it the cohort's newest.

    Parameters
    ----------
    settings : Settings
        Where the data, keys and reports of this installation lie.
    cohort : str
        Name of the cohort.
    bundle : Bundle
        Already written to ``models_folder(...)/<training>/bundle``.
    results : TrainingResults
        For ``results.json``.
    files : mapping
        More files of the report by name, such as pictures and the card.
    run_id : str
        The run that made it.
    """
    folder = bundle.folder.parent
    with new_folder(folder / "report") as work:
        (work / RESULTS).write_text(readable_json(results.to_json()), encoding="utf-8")
        for name, content in files.items():
            (work / name).write_bytes(content)
        # The same result has the same place: what was made of it later, such as the bill of materials, stays.
        for path in (folder / "report").glob("*"):
            if path.is_file() and not (work / path.name).exists():
                shutil.copy2(path, work / path.name)
        sealed_folder.replace(work, folder / "report")
    LatestTraining(training=folder.name, run_id=run_id, written_at=_now()).write(_latest(settings, cohort))
    return Training(folder=folder, results=results)


def keep_refusal(settings: Settings, cohort: str, *, message: str, leaks: Sequence[Leak], run_id: str) -> None:
    """Note that the newest training was refused, so that nobody takes the one before for an answer to today's data."""
    leakage = tuple(stored_leak(leak) for leak in leaks)
    refusal = LatestTraining(refused=message, leakage=leakage, run_id=run_id, written_at=_now())
    refusal.write(_latest(settings, cohort))


def stored_leak(leak: Leak) -> StoredLeak:
    """A suspicion as it is stored."""
    return StoredLeak.model_validate(plain(leak))


def latest(settings: Settings, cohort: str) -> Training:
    """The newest training of a cohort.

    Raises
    ------
    NoTraining
        There is none, or the newest was refused.
    """
    newest = latest_pointer(settings, cohort)
    if newest is None:
        raise NoTraining(
            f"cohort {cohort} has no training yet.",
            cure=f"clinical-assets materialize {cohort} --job train_cohort",
        )
    if newest.training is None:
        raise NoTraining(f"the newest training of cohort {cohort} was refused.\n{newest.refused}")
    return _read(models_folder(settings, cohort) / newest.training, cohort)


def with_bundle(settings: Settings, cohort: str, digest: str) -> Training:
    """The training of a cohort whose bundle has a digest; the newest, where several made the same bundle.

    Parameters
    ----------
    settings : Settings
        Where the data, keys and reports of this installation lie.
    cohort : str
        Name of the cohort.
    digest : str
        ``sha256:...`` of the bundle, or a beginning of 8 digits or more that names one of them.

    Raises
    ------
    NoTraining
        No training kept here has it.
    UnclearDigest
        Fewer than 8 digits, or several bundles begin so.
    """
    folders = [
        path.parent.parent
        for path in models_folder(settings, cohort).glob(f"*/report/{RESULTS}")
        if not path.parent.parent.name.startswith(".")
    ]
    kept = [_read(folder, cohort) for folder in folders]
    digest = whole_digest(digest, (training.results.bundle_digest for training in kept), what=f"bundle of {cohort}")
    found = [training for training in kept if training.results.bundle_digest == digest]
    if not found:
        raise NoTraining(
            f"no training of cohort {cohort} made the bundle {digest}; {len(folders)} are kept here.",
            cure=f"clinical-assets results {cohort} --json names the bundle of the newest one.",
        )
    return max(found, key=lambda training: ((training.report / RESULTS).stat().st_mtime_ns, training.folder.name))


def _read(folder: Path, cohort: str) -> Training:
    try:
        results = TrainingResults.read(folder / "report" / RESULTS)
    except (OSError, BadDocument) as error:
        raise NoTraining(
            f"{folder / 'report' / RESULTS} cannot be read.", cure=f"Train {cohort} again: nothing else is lost."
        ) from error
    return Training(folder=folder, results=results)


def latest_pointer(settings: Settings, cohort: str) -> LatestTraining | None:
    """Content of ``latest.json``, or None where nothing was trained."""
    path = _latest(settings, cohort)
    return LatestTraining.read(path) if path.exists() else None


def _latest(settings: Settings, cohort: str) -> Path:
    return models_folder(settings, cohort) / _LATEST


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _installed(package: str) -> bool:
    try:
        importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True
