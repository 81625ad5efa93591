"""What stands in a bundle beside its graph: ``bundle.json`` and ``manifest.json``, as types.

What belongs here: their fields, which every later version must still read. What does not: how a value comes about, and
anything heavy: whoever wants to know a threshold need not load a numerics library.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from clinical_assets.foundation.canonical import readable_json
from clinical_assets.foundation.stored_format import StoredDocument

DESCRIPTION, MANIFEST = "bundle.json", "manifest.json"
LIGHTGBM, XGBOOST, LINEAR, BAYES, PATHS = "lightgbm", "xgboost", "linear", "naive_bayes", "paths"
#: Of models whose log cumulative hazard at the horizon is a sum.
LINEAR_HAZARD, XGBOOST_HAZARD = "linear_hazard", "xgboost_hazard"

_SELDOM = 0.01

#: What an interval of a risk covers, for readers.
COVERED = (
    "The interval covers the true risk of people with the same values, in the population that the training rows are "
    "drawn from, as far as its log-odds are linear in the features. It does not cover another population, a later "
    "time, or values that were measured wrongly."
)

RecalibrationKind = Literal["intercept", "intercept_and_slope"]


class BundleManifest(StoredDocument):
    """The files of a bundle.

    Attributes
    ----------
    format : int
        Version of the bundle's format.
    files : dict
        Name to SHA-256 in hexadecimal digits.
    """

    format: int
    files: dict[str, str]

    @classmethod
    def read(cls, folder: Path) -> BundleManifest:
        """Read a bundle's manifest; nothing is compared with it."""
        return cls.of(json.loads((folder / MANIFEST).read_text(encoding="utf-8")), where=folder / MANIFEST)

    def write(self, folder: Path) -> None:
        """Write it beside the files."""
        (folder / MANIFEST).write_text(readable_json(self.to_json(), sort_keys=True), encoding="utf-8")


class TrainingProvenance(StoredDocument):
    """What a bundle was made from: digests of data, description and SQL, and versions of what made it.

    A part that is missing is empty; the regulatory gate finds it.

    Attributes
    ----------
    snapshots : dict
        Table to digest of the raw snapshot.
    libraries : dict
        Package to version.
    """

    data_digest: str = ""
    snapshots: dict[str, str] = Field(default_factory=dict)
    spec_digest: str = ""
    features_sql_digest: str = ""
    outcome_sql_digest: str = ""
    code_version: str = ""
    python: str = ""
    machine: str = ""
    libraries: dict[str, str] = Field(default_factory=dict)


class StoredTier(StoredDocument):
    """One risk tier, from ``lower`` (inclusive, 0 to 1) up to the next."""

    name: str
    lower: float
    action: str
    cost: float = 0.0


class StoredRecalibration(StoredDocument):
    """The map from raw to served log-odds; see ``search.recalibration``."""

    intercepts: tuple[float, ...]
    slopes: tuple[float, ...]
    at_floor: bool = False


class StoredPooledFeature(StoredDocument):
    """What stands for the groups of one feature; see ``table.pooling``."""

    place: int
    groups: tuple[float, ...]
    means: tuple[float, ...]
    otherwise: float


class StoredWordWeights(StoredDocument):
    """What the words of one note weigh; see ``table.word_weights``."""

    places: tuple[int, ...]
    weights: tuple[float, ...]


class StoredPreparation(StoredDocument):
    """The fitted steps before the model; see ``table.preparation``."""

    n_features: int
    medians: tuple[float, ...] | None
    flagged: bool
    kept: tuple[int, ...]
    centre: tuple[float, ...]
    spread: tuple[float, ...]
    pooled: tuple[StoredPooledFeature, ...] = ()
    words: tuple[StoredWordWeights, ...] = ()


class FeatureReference(StoredDocument):
    """What training rows looked like in one feature; null where none was known."""

    missing_share: float
    median: float | None
    mean: float | None
    sd: float | None
    quantiles: tuple[float, ...] | None


class StoredReference(StoredDocument):
    """What training rows looked like.

    Attributes
    ----------
    n : int
        Their number.
    shares : tuple of float
        At which each feature has its quantiles.
    features : dict
        Name to what was known of it.
    missing_per_row : int or None
        Features that all but one in a hundred of them lacked at most; None in bundles made before it was kept.
    """

    n: int
    shares: tuple[float, ...]
    features: dict[str, FeatureReference]
    missing_per_row: int | None = None

    def usually_missing(self) -> int:
        """Features that all but one in a hundred training rows lacked at most.

        Where the bundle does not say it: those that one row in a hundred lacked, as many as one row would lack if
        whoever lacks a feature lacks those that are missing more often, too.
        """
        if self.missing_per_row is not None:
            return self.missing_per_row
        return sum(each.missing_share > _SELDOM for each in self.features.values())


class StoredUncertainty(StoredDocument):
    """How certain the served risks are; see ``search.uncertainty``.

    Attributes
    ----------
    level : float
        Of the intervals that are given.
    factor : tuple of tuple of float, or None
        Rows of the lower triangle of a factor of the covariance of intercept and coefficients of the served log-odds,
        in the model's own, standardised columns; None where no interval is given.
    missing : str
        Why none is given, as a sentence.
    """

    level: float = 0.95
    factor: tuple[tuple[float, ...], ...] | None = None
    missing: str = ""


class LinearExplanation(StoredDocument):
    """Terms of a linear model in its own, standardised columns."""

    method: Literal["linear"]
    coefficients: tuple[float, ...]
    intercept: float


class LinearHazardExplanation(StoredDocument):
    """Terms of a log cumulative hazard at the horizon that is linear in the model's own, standardised columns."""

    method: Literal["linear_hazard"]
    coefficients: tuple[float, ...]
    intercept: float


class BayesExplanation(StoredDocument):
    """Means and variances (2, q) of each class and the classes' shares."""

    method: Literal["naive_bayes"]
    means: tuple[tuple[float, ...], ...]
    variances: tuple[tuple[float, ...], ...]
    priors: tuple[float, ...]


class BoosterExplanation(StoredDocument):
    """A booster that lies beside the graph in its library's own text format."""

    method: Literal["lightgbm", "xgboost", "xgboost_hazard"]
    file: str


class PathsExplanation(StoredDocument):
    """Sampled paths need nothing but the graph."""

    method: Literal["paths"]


StoredExplanation = Annotated[
    LinearExplanation | LinearHazardExplanation | BayesExplanation | BoosterExplanation | PathsExplanation,
    Field(discriminator="method"),
]


class Derivation(StoredDocument):
    """How a recalibrated bundle came from another.

    Attributes
    ----------
    base : str
        Digest of the other bundle; ``from`` in the file.
    kind : "intercept" or "intercept_and_slope"
        What was fitted again.
    intercept, slope : float
        Of the map between the base's served log-odds and the new ones.
    n, events : int
        Records that the map was fitted on.
    cause : str
        Digest of the recommendation that asked for it.
    """

    base: str = Field(validation_alias="from", serialization_alias="from")
    kind: RecalibrationKind
    intercept: float
    slope: float
    n: int
    events: int
    cause: str


class BundleFacts(StoredDocument):
    """What a bundle says of its cohort, beside the model.

    Attributes
    ----------
    synthetic : bool
        Whether the records are made up.
    action_from : int
        The mildest class that calls for action.
    threshold : float
        Risk from which on a unit is alerted, 0 to 1.
    tiers : tuple of StoredTier
        By rising risk.
    reference : StoredReference or None
        Distributions of the training rows.
    class_costs : tuple of tuple of float, or None
        Cost of each decision (column) for each true class (row), for more than two classes; None decides for the
        likeliest class.
    """

    cohort: str
    synthetic: bool
    action_from: int
    threshold: float
    tiers: tuple[StoredTier, ...]
    reference: StoredReference | None = None
    provenance: TrainingProvenance = Field(default_factory=TrainingProvenance)
    class_costs: tuple[tuple[float, ...], ...] | None = None


class BundleDescription(BundleFacts):
    """Content of ``bundle.json``: everything a reader or a server must know of a model.

    Attributes
    ----------
    candidate : str
        Kind of model.
    parameters : dict
        Setting that the search chose.
    imbalance : str
        How the rarer class was given weight.
    feature_columns, classes : tuple of str
        In the order of the model's columns and of the classes' numbers.
    raw_risk_floor : float
        Raw risks are kept away from 0 and 1 by this.
    typical_row : dict
        Feature to median of the training rows.
    derived : Derivation or None
        Where the bundle is another one's, recalibrated.
    uncertainty : StoredUncertainty or None
        Of the risks; None in bundles made before it was kept.
    """

    candidate: str
    parameters: dict[str, Any]
    imbalance: str
    feature_columns: tuple[str, ...]
    classes: tuple[str, ...]
    recalibration: StoredRecalibration
    raw_risk_floor: float
    preparation: StoredPreparation
    explanation: StoredExplanation
    typical_row: dict[str, float]
    derived: Derivation | None = None
    uncertainty: StoredUncertainty | None = None

    def without_interval(self) -> str | None:
        """Why no interval is given for a risk, as a sentence; None where one is."""
        if self.uncertainty is None:
            return "The model was trained before intervals of risks were kept."
        return self.uncertainty.missing if self.uncertainty.factor is None else None

    @classmethod
    def read(cls, folder: Path) -> BundleDescription:
        """Read a bundle's description; its digest is not checked."""
        return cls.of(json.loads((folder / DESCRIPTION).read_text(encoding="utf-8")), where=folder / DESCRIPTION)

    def write(self, folder: Path) -> None:
        """Write it; equal descriptions give equal bytes, which the bundle's digest covers."""
        (folder / DESCRIPTION).write_text(readable_json(self.to_json(), sort_keys=True), encoding="utf-8")
