"""A published formula as nodes of an ONNX graph, in double precision and term by term in the formula's own order."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

import numpy as np

if TYPE_CHECKING:
    from clinical_assets.cohorts.external.published import Band, Equation, FormulaTerm
    from clinical_assets.modelling.search.published import Formula

_OPERATORS = {"log": "Log", "square_root": "Sqrt", "inverse": "Reciprocal"}


class GraphPart(Protocol):
    """A stretch of a graph, as ``onnx_graph`` builds it."""

    @property
    def constant(self) -> Callable[..., str]:
        """Add a constant; its name."""

    @property
    def node(self) -> Callable[..., str]:
        """Add a node; the name of what it gives."""


def formula_nodes(part: GraphPart, columns: str, formula: Formula, output: str) -> None:
    """Nodes from columns (n, p) to the probabilities (n, 2) of both classes."""
    made = _Nodes(part, columns, formula)
    *some, last = formula.published.equations
    risk = made.risk(last)
    for equation in reversed(some):
        risk = made.op("Where", made.holds(equation.when), made.risk(equation), risk)
    rest = made.op("Sub", made.constant(1.0), risk)
    part.node("Concat", [rest, risk], output, axis=1)


class _Nodes:
    """Nodes with names of their own; every value is a column (n, 1)."""

    def __init__(self, part: GraphPart, columns: str, formula: Formula) -> None:
        self._part, self._columns, self._formula = part, columns, formula
        self._number = 0

    def _name(self) -> str:
        self._number += 1
        return f"formula_{self._number}"

    def constant(self, value: float) -> str:
        return self._part.constant(self._name(), value)

    def op(self, kind: str, *inputs: str) -> str:
        return self._part.node(kind, list(inputs), self._name())

    def _as_number(self, condition: str) -> str:
        from onnx import TensorProto

        return self._part.node("Cast", [condition], self._name(), to=TensorProto.DOUBLE)

    def column(self, feature: str) -> str:
        place = self._part.constant(self._name(), [self._formula.places[feature]], np.int64)
        return self._part.node("Gather", [self._columns, place], self._name(), axis=1)

    def holds(self, wanted: Mapping[str, float]) -> str:
        found = [self.op("Equal", self.column(name), self.constant(value)) for name, value in wanted.items()]
        for other in found[1:]:
            found[0] = self.op("And", found[0], other)
        return found[0]

    def banded(self, value: str, bands: Sequence[Band]) -> str:
        here = self.constant(bands[0].value)
        for band in bands[1:]:
            reached = self.op("GreaterOrEqual", value, self.constant(band.from_))
            here = self.op("Where", reached, self.constant(band.value), here)
        # A single band is a constant: added to zeros it becomes a column.
        return here if len(bands) > 1 else self.op("Add", self.op("Mul", value, self.constant(0.0)), here)

    def term(self, term: FormulaTerm) -> str:
        value = self.column(term.feature)
        if term.lowest is not None:
            value = self.op("Max", value, self.constant(term.lowest))
        if term.highest is not None:
            value = self.op("Min", value, self.constant(term.highest))
        if term.bands:
            value = self.banded(value, term.bands)
        elif term.transform == "square":
            value = self.op("Mul", value, value)
        elif term.transform != "none":
            value = self.op(_OPERATORS[term.transform], value)
        counted = self.op("Mul", self.constant(term.coefficient), value)
        return self.op("Mul", counted, self._as_number(self.holds(term.only_if))) if term.only_if else counted

    def risk(self, equation: Equation) -> str:
        total = self.constant(equation.intercept)
        for term in equation.terms:
            total = self.op("Add", total, self.term(term))
        if equation.baseline_survival is not None:
            times = self.op("Exp", self.op("Sub", total, self.constant(equation.mean)))
            free = self.op("Exp", self.op("Mul", self.constant(float(np.log(equation.baseline_survival))), times))
            return self.op("Sub", self.constant(1.0), free)
        risks = self._formula.published.risks
        return self.banded(total, risks) if risks else self.op("Sigmoid", total)
