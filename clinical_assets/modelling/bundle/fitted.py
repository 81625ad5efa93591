"""What a bundle needs of a fitted model, whichever room fitted it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol

from clinical_assets.modelling.search.recalibration import Recalibration
from clinical_assets.modelling.search.uncertainty import RiskUncertainty

if TYPE_CHECKING:
    from sklearn.pipeline import Pipeline


class Fitted(Protocol):
    """What a bundle needs of a fitted model; ``fitting.FittedModel`` has it."""

    @property
    def name(self) -> str:
        """The candidate that was fitted."""

    @property
    def pipeline(self) -> Pipeline:
        """The fitted steps, from features to the probability of each class."""

    @property
    def feature_columns(self) -> tuple[str, ...]:
        """The features' names, in the order of the columns that the pipeline takes."""

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes, in the order of their numbers."""

    @property
    def recalibration(self) -> Recalibration:
        """The map from the scores of the pipeline to the risks that are served."""

    @property
    def parameters(self) -> Mapping[str, Any]:
        """Setting of the last step that the search chose."""

    @property
    def imbalance(self) -> str:
        """How the rarer class was given weight in fitting."""

    @property
    def uncertainty(self) -> RiskUncertainty:
        """Of the risks that are served."""

    @property
    def floor(self) -> float:
        """Raw risks are kept this far from 0 and 1."""
