"""A model as a folder without a pickle: ONNX, text and JSON, named by one digest.

``model.onnx`` goes from features to served risk; ``bundle.json`` holds everything a reader or a server must know;
``features.sql`` is the statement that makes the features; a booster, where there is one, is kept in its library's own
text format: it explains, and XGBoost's scores, with the graph as witness (``booster``). ``manifest.json`` lists every
file with its SHA-256, and the bundle's digest is that of the list. What differs between two equal trainings (times, run
ids) stands in ``run.json``, outside the digest.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clinical_assets.foundation.canonical import hex_of, listing_digest, readable_json
from clinical_assets.foundation.sealed_folder import digests_in, first_changed, new_folder, odd_names, put
from clinical_assets.foundation.stored_format import BadDocument
from clinical_assets.foundation.types import FloatArray, IntArray
from clinical_assets.modelling.bundle.bundle_description import (
    MANIFEST,
    BundleDescription,
    BundleFacts,
    BundleManifest,
)
from clinical_assets.modelling.bundle.bundle_files import RUN, STATEMENT, BundleError

if TYPE_CHECKING:
    import polars as pl

    from clinical_assets.modelling.bundle.contributions import Explanation
    from clinical_assets.modelling.bundle.fitted import Fitted
    from clinical_assets.modelling.bundle.scorer import BundleScorer, RiskIntervals

FORMAT = 1
#: The folder of a bundle, in that of its training.
BUNDLE = "bundle"
_LARGEST_BYTES = 512 * 1024**2


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
        by_digest: bool = False,
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
        by_digest : bool
            The place is ``<folder>/<first 16 digits of the digest>/bundle``.

        Raises
        ------
        BundleError
            The graph and the pipeline disagree, or another bundle lies in ``folder``.
        """
        from clinical_assets.modelling.bundle.scorer import write_files

        with new_folder(folder / BUNDLE if by_digest else folder) as work:
            write_files(work, model, X=X, statement=statement, facts=facts)
            bundle = cls._seal(work)
            bundle._scorer.require_fitted(model, X)  # noqa: SLF001 - its own class
            (work / RUN).write_text(readable_json(dict(run or {}), sort_keys=True), encoding="utf-8")
            return bundle._move(_place(folder, bundle) if by_digest else folder)  # noqa: SLF001 - its own class

    @classmethod
    def seal_and_move(cls, work: Path, trainings: Path, *, run: Mapping[str, Any]) -> Bundle:
        """Seal the files of a work folder and move them to ``<trainings>/<first 16 digits of the digest>/bundle``.

        For a bundle that is made from another one's files; the folder appears complete or not at all.
        """
        bundle = cls._seal(work)
        (work / RUN).write_text(readable_json(dict(run), sort_keys=True), encoding="utf-8")
        return bundle._move(_place(trainings, bundle))  # noqa: SLF001 - its own class

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
        return self._scorer.run(self.matrix(features))

    def action_risk(self, features: pl.DataFrame | FloatArray) -> FloatArray:
        """Served risk (n,) of class ``action_from`` or a more severe one; features and errors as `score`."""
        from clinical_assets.modelling.table.row_losses import action_risk

        return action_risk(self.score(features), action_from=self.description.action_from)

    def decide(self, served: FloatArray) -> IntArray:
        """Class (n,) decided on served probabilities (n, k) of more than two classes: the one that costs least.

        Without costs of its own in the description every wrong class costs the same, and the likeliest is decided.
        """
        from clinical_assets.statistics.decisions.class_costs import cheapest_class, equal_costs

        costs = self.description.class_costs
        return cheapest_class(served, equal_costs(len(self.classes)) if costs is None else costs)

    def intervals(self, features: pl.DataFrame | FloatArray, served: FloatArray) -> RiskIntervals | None:
        """Intervals of served risks (n,), and the probability of another tier; None where the bundle gives none.

        An interval covers the true risk of people with the same values in the population that the training rows are
        drawn from, if its log-odds are about linear in the features. It holds no doubt about that, about values that
        were measured wrongly, or about another hospital. ``description.without_interval()`` says why there is none.

        Parameters
        ----------
        features : polars.DataFrame or array of shape (n, p)
            As for `score`.
        served : array of shape (n,)
            What `score` gave for them.
        """
        if self.description.without_interval() is not None:
            return None
        return self._scorer.intervals(self.matrix(features), served)

    def require_same(self, risk: FloatArray, other: FloatArray) -> None:
        """Refuse two ways to one risk that are further apart than `TOLERANCE`.

        Raises
        ------
        BundleError
            Says by how much.
        """
        self._scorer.require_same(risk, other)

    def explain(self, features: pl.DataFrame | FloatArray, *, served: FloatArray | None = None) -> Explanation:
        """Each feature's contribution to the served log-odds; see `contributions`. `served` is what `score` gave."""
        return self._scorer.explainer.explain(self.matrix(features), served=served)

    def matrix(self, features: pl.DataFrame | FloatArray) -> FloatArray:
        """Features (n, p) as the model reads them; missing is NaN; features and errors as `score`."""
        return self._scorer.matrix(features)

    @cached_property
    def _scorer(self) -> BundleScorer:
        # Late: whoever reads a bundle, as most commands do, loads nothing that computes.
        from clinical_assets.modelling.bundle.scorer import BundleScorer

        return BundleScorer(self.folder, self.description)

    @classmethod
    def _seal(cls, folder: Path) -> Bundle:
        BundleManifest(format=FORMAT, files=digests_in(folder)).write(folder)
        return cls.load(folder)

    def _move(self, folder: Path) -> Bundle:
        if not folder.exists():
            folder.parent.mkdir(parents=True, exist_ok=True)
            put(self.folder, folder)  # or another run wrote the same bundle meanwhile
        present = Bundle.load(folder)
        if present.digest != self.digest:
            raise BundleError(f"{folder} holds another bundle.", cure="Choose a folder named by the digest.")
        return present


def _place(trainings: Path, bundle: Bundle) -> Path:
    return trainings / hex_of(bundle.digest)[:16] / BUNDLE


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
