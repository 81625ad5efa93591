"""A model as a folder without a pickle: ONNX, text and JSON, named by one digest.

``model.onnx`` goes from features to served risk; ``bundle.json`` holds everything a reader or a server must know;
``features.sql`` is the statement that makes the features; a booster, where there is one, is kept in its library's own
text format for explanations. ``manifest.json`` lists every file with its SHA-256, and the bundle's digest is that of
the list. What differs between two equal trainings (times, run ids) stands in ``run.json``, outside the digest.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from clinical_assets.errors import ClinicalAssetsError
from clinical_assets.modelling.contributions import Explainer, Explanation, export
from clinical_assets.modelling.inputs import FloatArray
from clinical_assets.modelling.preparation import Preparation
from clinical_assets.modelling.recalibration import Recalibration

if TYPE_CHECKING:
    import polars as pl
    from sklearn.pipeline import Pipeline

FORMAT = 1
MODEL, DESCRIPTION, STATEMENT, MANIFEST, RUN = "model.onnx", "bundle.json", "features.sql", "manifest.json", "run.json"
_LARGEST_BYTES = 512 * 1024**2
# How far the ONNX graph may be from the fitted pipeline on the training rows, in risk.
TOLERANCE = 1e-5


class BundleError(ClinicalAssetsError):
    """A bundle that is incomplete, changed, or of another format."""


class Fitted(Protocol):
    """What a bundle needs of a fitted model; ``fitting.FittedModel`` has it."""

    @property
    def name(self) -> str: ...
    @property
    def pipeline(self) -> Pipeline: ...
    @property
    def feature_columns(self) -> tuple[str, ...]: ...
    @property
    def classes(self) -> tuple[str, ...]: ...
    @property
    def recalibration(self) -> Recalibration: ...
    @property
    def parameters(self) -> Mapping[str, Any]: ...
    @property
    def imbalance(self) -> str: ...


@dataclass(frozen=True)
class Bundle:
    """A bundle that was read and verified.

    Attributes
    ----------
    folder : Path
        Where it lies.
    description : dict
        Content of ``bundle.json``.
    digest : str
        Name of the bundle: SHA-256 over names and digests of its files.
    """

    folder: Path
    description: dict[str, Any]
    digest: str

    @classmethod
    def write(
        cls,
        folder: Path,
        model: Fitted,
        *,
        X: FloatArray,
        statement: str,
        facts: Mapping[str, Any],
        run: Mapping[str, Any] | None = None,
    ) -> Bundle:
        """Write a bundle and read it back.

        Parameters
        ----------
        folder : Path
            Where it goes; the folder appears complete or not at all. An existing one must have the same digest.
        model : Fitted
            The fitted candidate with its recalibration.
        X : array of shape (n, p)
            Training features: the ONNX graph is compared with the pipeline on them, and their medians are kept as the
            typical row that sampled explanations start from.
        statement : str
            The SQL that makes the features.
        facts : mapping
            Plain values that every reader needs: cohort, threshold, tiers, provenance, reference distributions.
        run : mapping, optional
            Plain values that name this run only.

        Raises
        ------
        BundleError
            The graph and the pipeline disagree, or another bundle lies in ``folder``.
        """
        folder.parent.mkdir(parents=True, exist_ok=True)
        work = Path(tempfile.mkdtemp(prefix=".bundle-", dir=folder.parent))
        try:
            _write_files(work, model, X=X, statement=statement, facts=facts)
            bundle = cls._seal(work)
            bundle._agree(model, X)
            (work / RUN).write_text(_json(dict(run or {})), encoding="utf-8")
            return bundle._move(folder)
        finally:
            shutil.rmtree(work, ignore_errors=True)

    @classmethod
    def seal_and_move(cls, work: Path, trainings: Path, *, run: Mapping[str, Any]) -> Bundle:
        """Seal the files of a work folder and move them to ``<trainings>/<first 16 digits of the digest>/bundle``.

        For a bundle that is made from another one's files; the folder appears complete or not at all.
        """
        bundle = cls._seal(work)
        (work / RUN).write_text(_json(dict(run)), encoding="utf-8")
        place = trainings / bundle.digest.removeprefix("sha256:")[:16] / "bundle"
        place.parent.mkdir(parents=True, exist_ok=True)
        return bundle._move(place)

    @classmethod
    def load(cls, folder: Path) -> Bundle:
        """Read a bundle after checking every file against its manifest.

        Raises
        ------
        BundleError
            A file is missing, was changed or was added; names it.
        """
        try:
            manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise BundleError(f"{folder} holds no readable {MANIFEST}.", cure="Train the cohort again.") from error
        if manifest.get("format") != FORMAT:
            raise BundleError(
                f"{folder} has bundle format {manifest.get('format')}, this version reads {FORMAT}.",
                cure="Use the version of clinical_assets that wrote it.",
            )
        _verify(folder, manifest)
        description = json.loads((folder / DESCRIPTION).read_text(encoding="utf-8"))
        return cls(folder=folder, description=description, digest=_digest(manifest["files"]))

    @property
    def cohort(self) -> str:
        """Name of the cohort it was trained on."""
        return str(self.description["cohort"])

    @property
    def feature_columns(self) -> tuple[str, ...]:
        """Features in the order that the model reads them."""
        return tuple(self.description["feature_columns"])

    @property
    def classes(self) -> tuple[str, ...]:
        """Labels of the outcome's values."""
        return tuple(self.description["classes"])

    @property
    def statement(self) -> str:
        """The SQL that makes the features."""
        return (self.folder / STATEMENT).read_text(encoding="utf-8")

    def score(self, features: pl.DataFrame | FloatArray) -> FloatArray:
        """Served risk: (n,) of the positive class, or (n, k).

        Parameters
        ----------
        features : polars.DataFrame or array of shape (n, p)
            A frame is read by column name; null and NaN are missing.

        Raises
        ------
        BundleError
            A feature is missing, is no number, or is infinite; names it.
        """
        return self._run(self._matrix(features))

    def explain(self, features: pl.DataFrame | FloatArray) -> Explanation:
        """Each feature's contribution to the served log-odds; see `contributions`."""
        return self._explainer.explain(self._matrix(features))

    def _run(self, X: FloatArray) -> FloatArray:
        (risk,) = self._session.run(None, {"features": np.ascontiguousarray(X, dtype=np.float64)})
        return np.asarray(risk)

    def _matrix(self, features: pl.DataFrame | FloatArray) -> FloatArray:
        names = self.feature_columns
        if isinstance(features, np.ndarray):
            X = np.asarray(features, dtype=np.float64)
            if X.ndim != 2 or X.shape[1] != len(names):
                raise BundleError(
                    f"the features have shape {X.shape}, the model reads {len(names)} columns.",
                    cure=f"Give them in this order: {', '.join(names)}.",
                )
        else:
            missing = [name for name in names if name not in features.columns]
            if missing:
                raise BundleError(
                    f"the features lack {', '.join(missing)}.", cure="Make them with the bundle's features.sql."
                )
            X = _numbers(features, names)
        infinite = np.isinf(X).any(axis=0)
        if infinite.any():
            raise BundleError(
                f"feature {names[int(np.argmax(infinite))]} holds an infinite value.",
                cure="Look for a division by zero in its SQL; missing is NULL.",
            )
        return X

    @cached_property
    def _session(self) -> Any:
        # Before the import: afterwards it has written to HOME, and its collector can no longer be switched off.
        os.environ["ORT_DISABLE_TELEMETRY"] = "1"
        import onnxruntime

        options = onnxruntime.SessionOptions()
        # One thread a call: a single patient needs no more, and batches run several calls side by side.
        options.intra_op_num_threads = 1
        options.log_severity_level = 3
        return onnxruntime.InferenceSession(
            (self.folder / MODEL).read_bytes(), sess_options=options, providers=["CPUExecutionProvider"]
        )

    @cached_property
    def _explainer(self) -> Explainer:
        stored = self.description
        return Explainer(
            stored["explanation"],
            folder=self.folder,
            preparation=Preparation.from_json(stored["preparation"]),
            recalibration=Recalibration(
                tuple(stored["recalibration"]["intercepts"]), tuple(stored["recalibration"]["slopes"])
            ),
            score=self._run,
            reference=np.asarray([stored["typical_row"][name] for name in self.feature_columns], dtype=np.float64),
        )

    @classmethod
    def _seal(cls, folder: Path) -> Bundle:
        files = {path.name: _sha256(path) for path in sorted(folder.iterdir())}
        (folder / MANIFEST).write_text(_json({"format": FORMAT, "files": files}), encoding="utf-8")
        return cls.load(folder)

    def _agree(self, model: Fitted, X: FloatArray) -> None:
        from clinical_assets.modelling.candidates import raw_risk

        fitted = model.recalibration.apply(raw_risk(model.pipeline.predict_proba(X), name=model.name))
        apart = float(np.abs(self._run(X) - fitted).max())
        if not apart <= TOLERANCE:
            raise BundleError(
                f"the ONNX graph of {model.name} differs from the fitted pipeline by up to {apart:.2g} in risk.",
                cure="Take the candidate out of modelling.candidates, and report it with its parameters.",
            )

    def _move(self, folder: Path) -> Bundle:
        if folder.exists():
            present = Bundle.load(folder)
            if present.digest != self.digest:
                raise BundleError(f"{folder} holds another bundle.", cure="Choose a folder named by the digest.")
            return present
        # mkdtemp makes folders private; a bundle is read by servers that run under another name.
        self.folder.chmod(0o755)
        try:
            self.folder.rename(folder)
        except OSError:
            if folder.exists():  # another run wrote the same bundle meanwhile
                return self._move(folder)
            raise
        return Bundle.load(folder)


def _write_files(folder: Path, model: Fitted, *, X: FloatArray, statement: str, facts: Mapping[str, Any]) -> None:
    from clinical_assets.modelling.candidates import floor_of, without_sampler
    from clinical_assets.modelling.onnx_graph import build_graph

    pipeline = without_sampler(model.pipeline)
    estimator = pipeline[-1]
    preparation = Preparation.of(pipeline, n_features=len(model.feature_columns))
    floor = floor_of(model.name)
    graph = build_graph(estimator, preparation, model.recalibration, floor=floor, n_classes=len(model.classes))
    (folder / MODEL).write_bytes(graph.SerializeToString(deterministic=True))
    (folder / STATEMENT).write_text(statement.rstrip() + "\n", encoding="utf-8")
    with np.errstate(all="ignore"):
        typical = np.array(
            [np.median(column[~np.isnan(column)]) if (~np.isnan(column)).any() else 0.0 for column in X.T]
        )
    description = {
        **facts,
        "candidate": model.name,
        "parameters": dict(model.parameters),
        "imbalance": model.imbalance,
        "feature_columns": list(model.feature_columns),
        "classes": list(model.classes),
        "recalibration": model.recalibration.to_json(),
        "raw_risk_floor": floor,
        "preparation": preparation.to_json(),
        "explanation": export(estimator, name=model.name, n_classes=len(model.classes), folder=folder),
        "typical_row": dict(zip(model.feature_columns, typical.tolist(), strict=True)),
    }
    (folder / DESCRIPTION).write_text(_json(description), encoding="utf-8")


def _verify(folder: Path, manifest: Mapping[str, Any]) -> None:
    files: Mapping[str, str] = manifest["files"]
    present = {path.name for path in folder.iterdir()} - {MANIFEST, RUN}
    if present != set(files):
        odd = ", ".join(sorted(present ^ set(files)))
        raise BundleError(
            f"{folder.name}: missing or added files: {odd}.", cure="Restore the bundle from the registry."
        )
    for name, digest in files.items():
        path = folder / name
        if path.stat().st_size > _LARGEST_BYTES:
            raise BundleError(f"{folder.name}/{name} is larger than 512 MiB.", cure="Train a smaller model.")
        if _sha256(path) != digest:
            raise BundleError(
                f"{folder.name}/{name} was changed after the bundle was sealed.",
                cure="Restore the bundle from the registry, and find out who changed it.",
            )


def _numbers(frame: pl.DataFrame, names: tuple[str, ...]) -> FloatArray:
    import polars as pl

    wrong = [name for name in names if not (frame[name].dtype.is_numeric() or frame[name].dtype == pl.Boolean)]
    if wrong:
        raise BundleError(f"feature {wrong[0]} is no number.", cure="Make the features with the bundle's features.sql.")
    return frame.select(pl.col(names).cast(pl.Float64).fill_null(float("nan"))).to_numpy(order="c")


def _digest(files: Mapping[str, str]) -> str:
    text = "".join(f"{name} {digest}\n" for name, digest in sorted(files.items()))
    return "sha256:" + hashlib.sha256(text.encode()).hexdigest()


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _json(value: Mapping[str, Any]) -> str:
    return json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n"
