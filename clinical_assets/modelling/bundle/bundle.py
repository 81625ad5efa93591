"""A model as a folder without a pickle: ONNX, text and JSON, named by one digest.

``model.onnx`` goes from features to served risk; ``bundle.json`` holds everything a reader or a server must know;
``features.sql`` is the statement that makes the features; a booster, where there is one, is kept in its library's own
text format: it explains, and XGBoost's scores, with the graph as witness (``booster``). ``manifest.json`` lists every
file with its SHA-256, and the bundle's digest is that of the list. What differs between two equal trainings (times, run
ids) stands in ``run.json``, outside the digest.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from clinical_assets.foundation.canonical import hex_of, listing_digest, readable_json
from clinical_assets.foundation.errors import ClinicalAssetsError
from clinical_assets.foundation.sealed_folder import digests_in, first_changed, new_folder, odd_names, put
from clinical_assets.foundation.stored_format import BadDocument
from clinical_assets.foundation.types import FloatArray, IntArray
from clinical_assets.modelling.bundle.booster import NativeScore, load_booster
from clinical_assets.modelling.bundle.bundle_description import (
    MANIFEST,
    XGBOOST,
    BundleDescription,
    BundleFacts,
    BundleManifest,
    StoredPreparation,
    StoredRecalibration,
)
from clinical_assets.modelling.bundle.contributions import Explainer, Explanation, export
from clinical_assets.modelling.bundle.fitted import Fitted
from clinical_assets.modelling.bundle.onnx_graph import build_graph
from clinical_assets.modelling.search.candidates import floor_of, raw_risk, without_sampler
from clinical_assets.modelling.search.recalibration import Recalibration
from clinical_assets.modelling.table.preparation import Preparation
from clinical_assets.modelling.table.row_losses import action_risk
from clinical_assets.statistics.decisions.class_costs import cheapest_class, equal_costs

if TYPE_CHECKING:
    import polars as pl

FORMAT = 1
MODEL, STATEMENT, RUN = "model.onnx", "features.sql", "run.json"
_LARGEST_BYTES = 512 * 1024**2
#: How far apart two ways to one served risk may be: fitted pipeline, ONNX graph, native booster, a risk that was kept.
#: Single precision leaves about 1e-7 of a raw risk, a recalibration slope of up to 10 or so multiplies it.
TOLERANCE = 1e-5
# Rows of each call that the graph scores beside a native booster, evenly spread.
_WITNESSED = 64
# Every call is filled up to whole blocks: kernels take another way for one row and for the rest behind the last full
# vector, and the same patient alone would get another last digit than among others.
_BLOCK_ROWS = 16


class BundleError(ClinicalAssetsError):
    """A bundle that is incomplete, changed, or of another format."""


def session_of(graph: bytes) -> Any:
    """ONNX Runtime's session of a graph, on one thread."""
    # Before the import: afterwards it has written to HOME, and its collector can no longer be switched off.
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"
    import onnxruntime

    options = onnxruntime.SessionOptions()
    # One thread a call: a single patient needs no more, and batches run several calls side by side.
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(graph, sess_options=options, providers=["CPUExecutionProvider"])


def require_equal(candidate: str, risk: FloatArray, other: FloatArray) -> None:
    """Raise BundleError, which says by how much, where two ways to one risk are further apart than `TOLERANCE`."""
    apart = float(np.abs(risk - other).max(initial=0.0))
    if not apart <= TOLERANCE:
        raise BundleError(
            f"{candidate}: pipeline, ONNX graph or native booster differ by up to {apart:.2g} in risk.",
            cure="Train the cohort again; if it stays, take the candidate out of modelling.candidates and report "
            "it with its parameters.",
        )


@dataclass(frozen=True)
class Bundle:
    """A bundle that was read and verified.

    Attributes
    ----------
    folder : Path
        Where it lies.
    description : BundleDescription
        Content of ``bundle.json``.
    digest : str
        Name of the bundle: SHA-256 over names and digests of its files.
    """

    folder: Path
    description: BundleDescription
    digest: str

    @classmethod
    def write(
        cls,
        folder: Path,
        model: Fitted,
        *,
        X: FloatArray,
        statement: str,
        facts: BundleFacts,
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
        facts : BundleFacts
            What every reader needs of the cohort: threshold, tiers, provenance, reference distributions.
        run : mapping, optional
            Plain values that name this run only.

        Raises
        ------
        BundleError
            The graph and the pipeline disagree, or another bundle lies in ``folder``.
        """
        with new_folder(folder) as work:
            _write_files(work, model, X=X, statement=statement, facts=facts)
            bundle = cls._seal(work)
            bundle._agree(model, X)  # noqa: SLF001 - its own class
            (work / RUN).write_text(readable_json(dict(run or {}), sort_keys=True), encoding="utf-8")
            return bundle._move(folder)  # noqa: SLF001 - its own class

    @classmethod
    def seal_and_move(cls, work: Path, trainings: Path, *, run: Mapping[str, Any]) -> Bundle:
        """Seal the files of a work folder and move them to ``<trainings>/<first 16 digits of the digest>/bundle``.

        For a bundle that is made from another one's files; the folder appears complete or not at all.
        """
        bundle = cls._seal(work)
        (work / RUN).write_text(readable_json(dict(run), sort_keys=True), encoding="utf-8")
        place = trainings / hex_of(bundle.digest)[:16] / "bundle"
        place.parent.mkdir(parents=True, exist_ok=True)
        return bundle._move(place)  # noqa: SLF001 - its own class

    @classmethod
    def load(cls, folder: Path) -> Bundle:
        """Read a bundle after checking every file against its manifest.

        Raises
        ------
        BundleError
            A file is missing, was changed or was added; names it.
        """
        try:
            manifest = BundleManifest.read(folder)
        except (OSError, ValueError, BadDocument) as error:
            raise BundleError(f"{folder} holds no readable {MANIFEST}.", cure="Train the cohort again.") from error
        if manifest.format != FORMAT:
            raise BundleError(
                f"{folder} has bundle format {manifest.format}, this version reads {FORMAT}.",
                cure="Use the version of clinical_assets that wrote it.",
            )
        _verify(folder, manifest.files)
        try:
            description = BundleDescription.read(folder)
        except (ValueError, BadDocument) as error:
            raise BundleError(
                f"{folder} holds no bundle's description: {error}", cure="Use the version that wrote it."
            ) from error
        return cls(folder=folder, description=description, digest=listing_digest(manifest.files))

    @property
    def cohort(self) -> str:
        """Name of the cohort it was trained on."""
        return self.description.cohort

    @property
    def feature_columns(self) -> tuple[str, ...]:
        """Features in the order that the model reads them."""
        return self.description.feature_columns

    @property
    def classes(self) -> tuple[str, ...]:
        """Labels of the outcome's values."""
        return self.description.classes

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
            A feature is missing, is no number, or is infinite; names it. Or booster and graph disagree.

        Notes
        -----
        A row's risk does not depend on the rows beside it: alone, in any chunk and from any thread it is the same
        number. XGBoost models of two classes are scored by the booster itself, and up to 64 rows of each call by the
        graph too.
        """
        return self._run(self.matrix(features))

    def action_risk(self, features: pl.DataFrame | FloatArray) -> FloatArray:
        """Served risk (n,) of class ``action_from`` or a more severe one; features and errors as `score`."""
        return action_risk(self.score(features), action_from=self.description.action_from)

    def decide(self, served: FloatArray) -> IntArray:
        """Class (n,) decided on served probabilities (n, k) of more than two classes: the one that costs least.

        Without costs of its own in the description every wrong class costs the same, and the likeliest is decided.
        """
        costs = self.description.class_costs
        return cheapest_class(served, equal_costs(len(self.classes)) if costs is None else costs)

    def require_same(self, risk: FloatArray, other: FloatArray) -> None:
        """Refuse two ways to one risk that are further apart than `TOLERANCE`.

        Raises
        ------
        BundleError
            Says by how much.
        """
        require_equal(self.description.candidate, risk, other)

    def explain(self, features: pl.DataFrame | FloatArray, *, served: FloatArray | None = None) -> Explanation:
        """Each feature's contribution to the served log-odds; see `contributions`. `served` is what `score` gave."""
        return self._explainer.explain(self.matrix(features), served=served)

    def _run(self, X: FloatArray) -> FloatArray:
        if self._native is None:
            return self._graph(X)
        risk = self._native(X)
        rows = np.unique(np.linspace(0, len(X) - 1, min(_WITNESSED, len(X)), dtype=np.int64))
        self.require_same(risk[rows], self._graph(X[rows]))
        return risk

    def _graph(self, X: FloatArray) -> FloatArray:
        (risk,) = self._session.run(None, {"features": _whole_blocks(X)})
        return np.asarray(risk)[: len(X)]

    def matrix(self, features: pl.DataFrame | FloatArray) -> FloatArray:
        """Features (n, p) as the model reads them; missing is NaN; features and errors as `score`."""
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
        return session_of((self.folder / MODEL).read_bytes())

    @cached_property
    def _booster(self) -> Any:
        return load_booster(self.description.explanation, self.folder)

    @cached_property
    def _recalibration(self) -> Recalibration:
        stored = self.description.recalibration
        return Recalibration(stored.intercepts, stored.slopes)

    @cached_property
    def _native(self) -> NativeScore | None:
        if self.description.explanation.method != XGBOOST:
            return None
        return NativeScore(
            self._booster,
            preparation=Preparation.from_json(self.description.preparation.to_json()),
            recalibration=self._recalibration,
            floor=self.description.raw_risk_floor,
        )

    @cached_property
    def _explainer(self) -> Explainer:
        stored = self.description
        return Explainer(
            stored.explanation,
            booster=self._booster,
            preparation=Preparation.from_json(stored.preparation.to_json()),
            recalibration=self._recalibration,
            score=self._run,
            reference=np.asarray([stored.typical_row[name] for name in self.feature_columns], dtype=np.float64),
        )

    @classmethod
    def _seal(cls, folder: Path) -> Bundle:
        BundleManifest(format=FORMAT, files=digests_in(folder)).write(folder)
        return cls.load(folder)

    def _agree(self, model: Fitted, X: FloatArray) -> None:
        fitted = model.recalibration.apply(raw_risk(model.pipeline.predict_proba(X), name=model.name))
        for risk in (self._graph(X), self._run(X)):
            self.require_same(risk, fitted)

    def _move(self, folder: Path) -> Bundle:
        if not folder.exists():
            put(self.folder, folder)  # or another run wrote the same bundle meanwhile
        present = Bundle.load(folder)
        if present.digest != self.digest:
            raise BundleError(f"{folder} holds another bundle.", cure="Choose a folder named by the digest.")
        return present


def _write_files(folder: Path, model: Fitted, *, X: FloatArray, statement: str, facts: BundleFacts) -> None:
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
    BundleDescription(
        **{name: getattr(facts, name) for name in facts.model_fields_set},
        candidate=model.name,
        parameters=dict(model.parameters),
        imbalance=model.imbalance,
        feature_columns=model.feature_columns,
        classes=model.classes,
        recalibration=StoredRecalibration.model_validate(model.recalibration.to_json()),
        raw_risk_floor=floor,
        preparation=StoredPreparation.model_validate(preparation.to_json()),
        explanation=export(estimator, name=model.name, n_classes=len(model.classes), folder=folder),
        typical_row=dict(zip(model.feature_columns, typical.tolist(), strict=True)),
    ).write(folder)


def _verify(folder: Path, files: Mapping[str, str]) -> None:
    if odd := odd_names(folder, files, apart=(MANIFEST, RUN)):
        raise BundleError(
            f"{folder.name}: missing or added files: {', '.join(odd)}.", cure="Restore the bundle from the registry."
        )
    for name in files:
        if (folder / name).stat().st_size > _LARGEST_BYTES:
            raise BundleError(f"{folder.name}/{name} is larger than 512 MiB.", cure="Train a smaller model.")
    if changed := first_changed(folder, files):
        raise BundleError(
            f"{folder.name}/{changed} was changed after the bundle was sealed.",
            cure="Restore the bundle from the registry, and find out who changed it.",
        )


def _whole_blocks(X: FloatArray) -> FloatArray:
    """Features (n, p) with the last row repeated up to a whole number of blocks."""
    added = -len(X) % _BLOCK_ROWS
    return np.ascontiguousarray(np.pad(X, ((0, added), (0, 0)), mode="edge") if added else X, dtype=np.float64)


def _numbers(frame: pl.DataFrame, names: tuple[str, ...]) -> FloatArray:
    import polars as pl

    wrong = [name for name in names if not (frame[name].dtype.is_numeric() or frame[name].dtype == pl.Boolean)]
    if wrong:
        raise BundleError(f"feature {wrong[0]} is no number.", cure="Make the features with the bundle's features.sql.")
    return frame.select(pl.col(names).cast(pl.Float64).fill_null(float("nan"))).to_numpy(order="c")
