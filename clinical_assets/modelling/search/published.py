"""Candidates as a description has them: a published formula among them, and which features name groups.

What belongs here: the numbers of a formula that a description writes (``cohorts.external.published``). Its graph is
made in ``modelling.bundle.graph.onnx_formula``.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.special import expit

from clinical_assets.cohorts.decisions import Modelling, word_feature
from clinical_assets.cohorts.external.published import (
    RECALIBRATED,
    Band,
    Equation,
    FormulaTerm,
    Published,
    formula_name,
)
from clinical_assets.foundation.types import FloatArray
from clinical_assets.modelling.search.candidate_type import CandidateType
from clinical_assets.modelling.search.kinds import KINDS, kind_of
from clinical_assets.modelling.table.inputs import UnusableTable
from clinical_assets.modelling.table.word_weights import WordBlock

if TYPE_CHECKING:
    from numpy.typing import NDArray


_TRANSFORMS = {"log": np.log, "square": np.square, "square_root": np.sqrt, "inverse": np.reciprocal}


@dataclass(frozen=True)
class Formula:
    """A published formula over features in their order in a model."""

    published: Published
    places: dict[str, int]

    def risk(self, X: FloatArray) -> FloatArray:
        """Risks (n,) of features (n, p) without missing values."""
        *some, last = self.published.equations
        risk = self._of(last, X)
        for equation in reversed(some):
            risk = np.where(self._holds(equation.when, X), self._of(equation, X), risk)
        return risk

    def _of(self, equation: Equation, X: FloatArray) -> FloatArray:
        total = np.full(X.shape[0], equation.intercept)
        for term in equation.terms:
            total = total + self._term(term, X)
        if equation.baseline_survival is not None:
            return np.asarray(1 - np.exp(np.log(equation.baseline_survival) * np.exp(total - equation.mean)))
        return banded(total, self.published.risks) if self.published.risks else np.asarray(expit(total))

    def _term(self, term: FormulaTerm, X: FloatArray) -> FloatArray:
        value = X[:, self.places[term.feature]]
        if term.lowest is not None or term.highest is not None:
            value = np.clip(value, term.lowest, term.highest)
        if term.bands:
            value = banded(value, term.bands)
        elif term.transform != "none":
            value = _TRANSFORMS[term.transform](value)
        counted = term.coefficient * value
        return counted * self._holds(term.only_if, X) if term.only_if else counted

    def _holds(self, wanted: Mapping[str, float], X: FloatArray) -> NDArray[np.bool_]:
        found = [X[:, self.places[name]] == value for name, value in wanted.items()]
        return np.asarray(np.logical_and.reduce(found))


def banded(value: FloatArray, bands: Sequence[Band]) -> FloatArray:
    """The value of the band in which each of (n,) lies; below the first band, that of the first.

    >>> banded(np.array([30.0, 65.0, 80.0]), [Band(from_=0, value=0), Band(from_=65, value=2), Band(from_=75, value=3)])
    array([0., 2., 3.])
    """
    edges, values = [band.from_ for band in bands[1:]], np.array([band.value for band in bands])
    return np.asarray(values[np.searchsorted(edges, value, side="right")])


def candidate_type(name: str, modelling: Modelling, columns: Sequence[str] | None = None) -> CandidateType:
    """What a candidate declares: one that is registered, or a published formula of the description.

    Parameters
    ----------
    name : str
        As ``modelling.candidates`` has it.
    modelling : Modelling
        Of the description.
    columns : sequence of str, optional
        Features in the order of the model; a formula can be fitted with them alone.

    Raises
    ------
    ClinicalAssetsError
        There is no such candidate.
    UnusableTable
        The formula reads a feature that the feature model does not yield.
    """
    published = modelling.published.get(formula_name(name))
    if name in KINDS or published is None:
        noise = modelling.label_noise
        if not (modelling.pooled or modelling.notes or noise):
            return kind_of(name)
        return replace(
            kind_of(name),
            pooled=_pooled(modelling, columns),
            words=_words(modelling, columns),
            doubted_weight=1.0 if noise is None or noise.doubted_weight is None else noise.doubted_weight,
            n_features=len(columns or ()),
        )
    places = {column: place for place, column in enumerate(columns or ())}
    absent = [feature for feature in published.features if columns is not None and feature not in places]
    if absent:
        near = difflib.get_close_matches(absent[0], places, n=1)
        raise UnusableTable(
            f"the published formula {formula_name(name)} reads {', '.join(absent)}, which the features do not have.",
            cure=f"{f'Did you mean {near[0]}? ' if near else ''}Yield it in the feature model, in the formula's unit.",
        )
    return CandidateType(
        name=name,
        simplicity=0,
        cost=0,
        model=lambda _, __, ___: _estimator()(Formula(published, places)),
        space=lambda _, __: {},
        start=lambda _: {},
        floor=1e-6,
        flags_missing=False,
        scaled=False,
        given=True,
        recalibrated=name.endswith(RECALIBRATED),
    )


def _pooled(modelling: Modelling, columns: Sequence[str] | None) -> tuple[int, ...]:
    """Places of the features that name groups, among those that are left."""
    return tuple(place for place, column in enumerate(columns or ()) if column in modelling.pooled)


def _words(modelling: Modelling, columns: Sequence[str] | None) -> tuple[WordBlock, ...]:
    """Places of the words of each note, among the features that are left."""
    places = {column: place for place, column in enumerate(columns or ())}
    blocks = []
    for note, each in modelling.notes.items():
        named = [word_feature(note, word) for word in each.words]
        blocks.append(WordBlock(tuple(places[name] for name in named if name in places), each.minimum_persons))
    return tuple(block for block in blocks if block.places)


def is_published(name: str) -> bool:
    """Whether a candidate of a right description is a published formula."""
    return name not in KINDS


@cache
def _estimator() -> type[Any]:
    """A classifier of scikit-learn's interface that computes a formula; made late, as scikit-learn is heavy."""
    from sklearn.base import BaseEstimator, ClassifierMixin

    class PublishedFormula(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
        """Computes a published formula; fitting learns nothing."""

        def __init__(self, formula: Formula) -> None:
            self.formula = formula

        def fit(self, X: FloatArray, y: Any, sample_weight: Any = None) -> PublishedFormula:  # noqa: ARG002
            self.classes_ = np.unique(y)
            self.n_features_in_ = X.shape[1]
            return self

        def predict_proba(self, X: FloatArray) -> FloatArray:
            risk = self.formula.risk(np.asarray(X, dtype=np.float64))
            return np.column_stack([1 - risk, risk])

    return PublishedFormula
