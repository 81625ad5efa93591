"""What happens to the features before a model sees them, as plain arrays that can be stored and read back.

The fitted steps of a candidate's pipeline (medians, missing flags, constant columns dropped, scaling) are taken out of
scikit-learn here, so that scoring and explaining need neither scikit-learn nor a pickle.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from clinical_assets.foundation.errors import ClinicalAssetsError
from clinical_assets.foundation.types import FloatArray
from clinical_assets.modelling.table.pooling import POOL_STEP, PooledFeature, with_pooled
from clinical_assets.modelling.table.word_weights import WORD_STEP, WordWeights, with_words

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from sklearn.pipeline import Pipeline


def in_single_precision(X: FloatArray) -> FloatArray:
    """The nearest number of single precision to each value, as double; beyond its range infinite, NaN stays.

    >>> in_single_precision(np.array([[16777217.0, 0.1]])).tolist()
    [[16777216.0, 0.10000000149011612]]
    """
    with np.errstate(over="ignore"):
        return np.asarray(X, dtype=np.float32).astype(np.float64)


@dataclass(frozen=True)
class Preparation:
    """From ``p`` features, NaN for missing, to the ``q`` columns that a model reads.

    Attributes
    ----------
    n_features : int
        p.
    medians : array of shape (p,) or None
        What missing values become; None leaves them missing (boosted trees read them as they are).
    flagged : bool
        True when a 0/1 column for "was missing" follows for every feature.
    kept : array of shape (q,)
        Which of the p (or 2p with flags) columns are kept; a kept column ``j`` comes from feature ``j % p``.
    centre, spread : arrays of shape (q,)
        Subtracted and divided by; 0 and 1 leave a column as it is.
    pooled : tuple of PooledFeature
        Features that name a group: first of all they become the group's mean.
    words : tuple of WordWeights
        Features that count words, which become TF-IDF before anything else but groups.
    """

    n_features: int
    medians: FloatArray | None
    flagged: bool
    kept: NDArray[np.int64]
    centre: FloatArray
    spread: FloatArray
    pooled: tuple[PooledFeature, ...] = ()
    words: tuple[WordWeights, ...] = ()

    @property
    def sources(self) -> NDArray[np.int64]:
        """Number of the feature that each model column comes from, shape (q,)."""
        return self.kept % self.n_features

    @property
    def scaled(self) -> bool:
        """Whether a column is moved or stretched at all."""
        return bool(self.centre.any() or (self.spread != 1).any())

    def apply(self, X: FloatArray) -> FloatArray:
        """The model's columns (n, q) of features (n, p)."""
        values = X = with_words(with_pooled(X, self.pooled), self.words)
        if self.medians is not None or self.flagged:
            missing = np.isnan(X)
            values = X if self.medians is None else np.where(missing, self.medians, X)
            if self.flagged:
                values = np.hstack([values, missing.astype(np.float64)])
        if not np.array_equal(self.kept, np.arange(values.shape[1])):
            values = values[:, self.kept]
        if self.scaled:
            values = (values - self.centre) / self.spread
        return np.asarray(values)

    def to_json(self) -> dict[str, Any]:
        """Plain values; floats keep every bit."""
        return {
            "n_features": self.n_features,
            "medians": None if self.medians is None else self.medians.tolist(),
            "flagged": self.flagged,
            "kept": self.kept.tolist(),
            "centre": self.centre.tolist(),
            "spread": self.spread.tolist(),
            **({"pooled": [asdict(each) for each in self.pooled]} if self.pooled else {}),
            **({"words": [asdict(each) for each in self.words]} if self.words else {}),
        }

    @classmethod
    def from_json(cls, stored: dict[str, Any]) -> Preparation:
        """Read back what `to_json` gave."""
        medians = stored["medians"]
        return cls(
            n_features=stored["n_features"],
            medians=None if medians is None else np.asarray(medians, dtype=np.float64),
            flagged=stored["flagged"],
            kept=np.asarray(stored["kept"], dtype=np.int64),
            centre=np.asarray(stored["centre"], dtype=np.float64),
            spread=np.asarray(stored["spread"], dtype=np.float64),
            pooled=tuple(
                PooledFeature(each["place"], tuple(each["groups"]), tuple(each["means"]), each["otherwise"])
                for each in stored.get("pooled", ())
            ),
            words=tuple(WordWeights(tuple(each["places"]), tuple(each["weights"])) for each in stored.get("words", ())),
        )

    @classmethod
    def of(cls, pipeline: Pipeline, *, n_features: int) -> Preparation:
        """Take the fitted steps before the model out of a candidate's pipeline.

        Raises
        ------
        ClinicalAssetsError
            The pipeline has a step that this room does not know how to store.
        """
        steps = dict(pipeline.steps[:-1])
        # Trees' columns are rounded to single precision by the graph's own cast, and wherever a booster reads them.
        unknown = sorted(set(steps) - {POOL_STEP, WORD_STEP, "impute", "vary", "scale", "single"})
        if unknown:
            raise ClinicalAssetsError(
                f"the pipeline has a step {unknown[0]!r} that a bundle cannot hold.",
                cure="Teach modelling/preparation.py to store it, or leave it out of the candidate.",
            )
        impute = steps.get("impute")
        flagged = hasattr(impute, "transformer_list")
        imputer = dict(impute.transformer_list)["value"] if flagged and impute is not None else impute
        width = n_features * (2 if flagged else 1)
        scale = steps.get("scale")
        kept = np.flatnonzero(steps["vary"].get_support()) if "vary" in steps else np.arange(width)
        kept = getattr(scale, "kept_", kept)  # where words share a scale, it drops columns too
        return cls(
            n_features=n_features,
            medians=None if imputer is None else np.asarray(imputer.statistics_, dtype=np.float64),
            flagged=flagged,
            kept=kept.astype(np.int64),
            centre=np.zeros(kept.size) if scale is None else np.asarray(scale.mean_, dtype=np.float64),
            spread=np.ones(kept.size) if scale is None else np.asarray(scale.scale_, dtype=np.float64),
            pooled=steps[POOL_STEP].features_ if POOL_STEP in steps else (),
            words=steps[WORD_STEP].words_ if WORD_STEP in steps else (),
        )
