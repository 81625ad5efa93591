"""Where trainings lie: bundle, report, and a pointer to the newest of each cohort.

``data/models/<cohort>/<training>/`` holds ``bundle/`` (see ``bundle``) and ``report/`` (results, pictures, card);
``latest.json`` beside them names the newest training, or the refusal that stopped it. A folder appears complete or not
at all, and the pointer is switched last.
"""

from __future__ import annotations

import importlib.metadata
import json
import platform
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clinical_assets.errors import ClinicalAssetsError
from clinical_assets.modelling.bundle import Bundle
from clinical_assets.settings import Settings
from clinical_assets.whole_files import write_whole

if TYPE_CHECKING:
    from clinical_assets.cohorts.spec import CohortSpec
    from clinical_assets.modelling.leaks import Leak

RESULTS = "results.json"
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


@dataclass(frozen=True)
class Training:
    """One training on disk.

    Attributes
    ----------
    folder : Path
        Holds ``bundle/`` and ``report/``.
    results : dict
        Content of ``report/results.json``.
    """

    folder: Path
    results: dict[str, Any]

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
    from clinical_assets.warehouse.digests import value_digest

    boosters = [name for name in ("xgboost", "xgboost-cpu") if _installed(name)]
    return {
        "data_digest": data_digest,
        "snapshots": dict(sorted(snapshots.items())),
        "spec_digest": value_digest(spec.training_facts()),
        "features_sql_digest": value_digest(statement),
        "outcome_sql_digest": value_digest(outcome_statement),
        "code_version": importlib.metadata.version("clinical-assets"),
        "python": platform.python_version(),
        "machine": platform.machine(),
        "libraries": {name: importlib.metadata.version(name) for name in sorted([*_LIBRARIES, *boosters])},
    }


def keep(
    settings: Settings,
    cohort: str,
    *,
    bundle: Bundle,
    results: Mapping[str, Any],
    files: Mapping[str, bytes],
    run_id: str,
) -> Training:
    """Keep a training beside its bundle and make it the cohort's newest.

    Parameters
    ----------
    bundle : Bundle
        Already written to ``models_folder(...)/<training>/bundle``.
    results : mapping
        Plain values for ``results.json``.
    files : mapping
        More files of the report by name, such as pictures and the card.
    run_id : str
        The run that made it.
    """
    folder = bundle.folder.parent
    work = Path(tempfile.mkdtemp(prefix=".report-", dir=folder))
    try:
        (work / RESULTS).write_text(json.dumps(dict(results), indent=1, ensure_ascii=False, allow_nan=False) + "\n")
        for name, content in files.items():
            (work / name).write_bytes(content)
        work.chmod(0o755)
        old = folder / ".old-report"
        shutil.rmtree(old, ignore_errors=True)
        if (folder / "report").exists():
            (folder / "report").rename(old)
        work.rename(folder / "report")
        shutil.rmtree(old, ignore_errors=True)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    _point(settings, cohort, {"training": folder.name, "run_id": run_id})
    return Training(folder=folder, results=dict(results))


def keep_refusal(settings: Settings, cohort: str, *, message: str, leaks: Sequence[Leak], run_id: str) -> None:
    """Note that the newest training was refused, so that nobody takes the one before for an answer to today's data."""
    leakage = [leak_row(leak) for leak in leaks]
    _point(settings, cohort, {"refused": message, "leakage": leakage, "run_id": run_id})


def leak_row(leak: Leak) -> dict[str, Any]:
    """A suspicion as plain values."""
    return {
        "column": leak.column,
        "kind": leak.kind,
        "evidence": leak.evidence,
        "value": leak.value,
        "action": leak.action,
        "cure": leak.cure,
    }


def latest(settings: Settings, cohort: str) -> Training:
    """The newest training of a cohort.

    Raises
    ------
    NoTraining
        There is none, or the newest was refused.
    """
    told = latest_pointer(settings, cohort)
    if told is None:
        raise NoTraining(
            f"cohort {cohort} has no training yet.",
            cure=f"clinical-assets materialize {cohort} --job train_cohort",
        )
    if "refused" in told:
        raise NoTraining(f"the newest training of cohort {cohort} was refused.\n{told['refused']}")
    return _read(models_folder(settings, cohort) / told["training"], cohort)


def with_bundle(settings: Settings, cohort: str, digest: str) -> Training:
    """The training of a cohort whose bundle has a digest; the newest, where several made the same bundle.

    Parameters
    ----------
    digest : str
        ``sha256:...`` of the bundle.

    Raises
    ------
    NoTraining
        No training kept here has it.
    """
    folders = [
        path.parent.parent
        for path in models_folder(settings, cohort).glob(f"*/report/{RESULTS}")
        if not path.parent.parent.name.startswith(".")
    ]
    found = [
        training
        for training in (_read(folder, cohort) for folder in folders)
        if training.results.get("bundle_digest") == digest
    ]
    if not found:
        raise NoTraining(
            f"no training of cohort {cohort} made the bundle {digest}; {len(folders)} are kept here.",
            cure=f"clinical-assets results {cohort} --json names the bundle of the newest one.",
        )
    return max(found, key=lambda training: ((training.report / RESULTS).stat().st_mtime_ns, training.folder.name))


def _read(folder: Path, cohort: str) -> Training:
    try:
        results = json.loads((folder / "report" / RESULTS).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise NoTraining(
            f"{folder / 'report' / RESULTS} cannot be read.", cure=f"Train {cohort} again: nothing else is lost."
        ) from error
    return Training(folder=folder, results=results)


def latest_pointer(settings: Settings, cohort: str) -> dict[str, Any] | None:
    """What ``latest.json`` says, or None where nothing was trained."""
    path = models_folder(settings, cohort) / _LATEST
    if not path.exists():
        return None
    told = json.loads(path.read_text(encoding="utf-8"))
    return dict(told)


def _point(settings: Settings, cohort: str, content: Mapping[str, Any]) -> None:
    content = {**content, "written_at": datetime.now(UTC).isoformat(timespec="seconds")}
    write_whole(models_folder(settings, cohort) / _LATEST, json.dumps(content, indent=1, ensure_ascii=False))


def _installed(package: str) -> bool:
    try:
        importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True
