"""One ONNX graph from features to served risk: preparation, model, recalibration.

The own part of trees and networks is made by the maintained converters, which work in single precision. Linear models
and naive Bayes, and what stands before and after every model, are built here in double precision: a scaled value
rounded too early lands on the other side of a tree's split, and a risk near 1 has no digits left for its log-odds.

Sums over columns run down the transposed matrix: term by term for all rows at once, so that the order of a row's sum,
and with it the last digit, does not depend on where in memory the row lies.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from clinical_assets.foundation.errors import ClinicalAssetsError
from clinical_assets.modelling.bundle.graph.onnx_formula import formula_nodes
from clinical_assets.modelling.search.recalibration import CLASS_FLOOR, CUT_FLOOR, LOGIT_LIMIT, Recalibration
from clinical_assets.modelling.table.pooling import PooledFeature
from clinical_assets.modelling.table.preparation import Preparation
from clinical_assets.modelling.table.word_weights import WordWeights

if TYPE_CHECKING:
    import onnx

OPSET = 19
ML_OPSET = 3
IR_VERSION = 9
FEATURES = "features"
RISK = "risk"
PROBABILITIES = "model_probabilities"


def build_graph(
    estimator: Any, preparation: Preparation, recalibration: Recalibration, *, floor: float, n_classes: int
) -> onnx.ModelProto:
    """The whole way from features to served risk.

    Parameters
    ----------
    estimator : fitted scikit-learn, LightGBM or XGBoost classifier
        The last step of a candidate's pipeline.
    preparation : Preparation
        What happens before it.
    recalibration : Recalibration
        What happens after it, one map a cut between classes.
    floor : float
        Raw risks are kept this far from 0 and 1.
    n_classes : int
        2 gives the risk of class 1, shape (n,); more give (n, k).

    Returns
    -------
    onnx.ModelProto
        Input ``features``, double, (n, p), NaN for missing; output ``risk``, double. The same model gives the same
        bytes.

    Raises
    ------
    ClinicalAssetsError
        Nothing turns this kind of model into a graph.
    """
    import onnx
    from onnx import TensorProto, checker, helper

    part = _Part()
    columns = _before(part, preparation)
    name = type(estimator).__name__
    if name == "PublishedFormula":
        formula_nodes(part, columns, estimator.formula, PROBABILITIES)
    elif name == "BoostedHazards":
        _boosted_hazards(part, columns, estimator)
    else:
        inside = {"ProportionalOdds": _ordered, **dict.fromkeys(_DOUBLE, _in_double)}
        inside.get(name, _converted)(part, columns, estimator)
    _after(part, PROBABILITIES, recalibration, floor=floor, n_classes=n_classes)
    opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid("ai.onnx.ml", ML_OPSET)]
    rank = [None] if n_classes == 2 else [None, n_classes]
    graph = helper.make_graph(
        nodes=part.nodes,
        name="clinical_assets",
        inputs=[helper.make_tensor_value_info(FEATURES, TensorProto.DOUBLE, [None, preparation.n_features])],
        outputs=[helper.make_tensor_value_info(RISK, TensorProto.DOUBLE, rank)],
        initializer=part.constants,
    )
    whole = helper.make_model(graph, opset_imports=opsets, producer_name="clinical_assets", ir_version=IR_VERSION)
    checker.check_model(whole, full_check=False)
    if not isinstance(whole, onnx.ModelProto):
        raise ClinicalAssetsError("the ONNX graph could not be built.", cure="Report the candidate and its parameters.")
    return whole


class _Part:
    """Nodes and constants of one stretch of the graph."""

    def __init__(self) -> None:
        self.nodes: list[Any] = []
        self.constants: list[Any] = []

    def constant(self, name: str, value: Any, dtype: type = np.float64) -> str:
        from onnx import numpy_helper

        self.constants.append(numpy_helper.from_array(np.asarray(value, dtype=dtype), name))
        return name

    def node(self, kind: str, inputs: list[str], output: str, **attributes: Any) -> str:
        from onnx import helper

        self.nodes.append(helper.make_node(kind, inputs, [output], **attributes))
        return output

    def shares(self, here: str, output: str) -> str:
        """Columns (n, k) divided by their sum over k."""
        across = self.node("Transpose", [here], f"{output}_across")
        axis = self.constant(f"{output}_axis", [0], np.int64)
        total = self.node("ReduceSum", [across, axis], f"{output}_total", keepdims=1)
        return self.node("Transpose", [self.node("Div", [across, total], f"{output}_shares")], output)


def _in_double(part: _Part, columns: str, estimator: Any) -> None:
    """A linear model or naive Bayes, from columns (n, q) to ``model_probabilities`` (n, k)."""
    across = part.node("Transpose", [columns], "model_across")
    axis = part.constant("model_axis", [0], np.int64)
    scores = []
    terms = _DOUBLE[type(estimator).__name__]
    for k, (each, constant) in enumerate(terms(part, across, estimator)):
        total = part.node("ReduceSum", [each, axis], f"model_total_{k}", keepdims=1)
        scores.append(part.node("Add", [total, part.constant(f"model_constant_{k}", constant)], f"model_score_{k}"))
    if type(estimator).__name__ == "RidgeHazards":
        part.node("Transpose", [_risk_of_hazard(part, scores[0], axis=0)], PROBABILITIES)
    elif len(scores) == 1:
        event = part.node("Sigmoid", scores, "model_event")
        rest = part.node("Sub", [part.constant("model_one", 1.0), event], "model_rest")
        joined = part.node("Concat", [rest, event], "model_joined", axis=0)
        part.node("Transpose", [joined], PROBABILITIES)
    else:
        joined = part.node("Concat", scores, "model_joined", axis=0)
        part.node("Softmax", [part.node("Transpose", [joined], "model_scores")], PROBABILITIES, axis=1)


def _risk_of_hazard(part: _Part, hazard: str, *, axis: int) -> str:
    """Probabilities of both classes along an axis, from log cumulative hazards: 1 - exp(-exp(it)) is the event's."""
    free = part.node("Exp", [part.node("Neg", [part.node("Exp", [hazard], "hazard")], "minus_hazard")], "free")
    event = part.node("Sub", [part.constant("model_one", 1.0), free], "model_event")
    return part.node("Concat", [free, event], "model_joined", axis=axis)


def _boosted_hazards(part: _Part, columns: str, estimator: Any) -> None:
    """A booster of log cumulative hazards, from columns (n, q) to ``model_probabilities`` (n, 2)."""
    from onnx import TensorProto, compose
    from onnxmltools.convert.xgboost.operator_converters.XGBoost import convert_xgboost
    from skl2onnx import convert_sklearn, update_registered_converter
    from skl2onnx.common.data_types import FloatTensorType
    from skl2onnx.common.shape_calculator import calculate_linear_regressor_output_shapes

    regressor = estimator.as_regressor()
    update_registered_converter(
        type(regressor), "XGBoostXGBRegressor", calculate_linear_regressor_output_shapes, convert_xgboost
    )
    model = convert_sklearn(
        regressor,
        name="model",
        initial_types=[("columns", FloatTensorType([None, estimator.n_features_in_]))],
        target_opset={"": OPSET, "ai.onnx.ml": ML_OPSET},
    )
    part.node("Cast", [columns], "model_columns", to=TensorProto.FLOAT)
    graph = compose.add_prefix(model, prefix="model_").graph
    part.nodes += graph.node
    part.constants += graph.initializer
    hazard = part.node("Cast", [graph.output[0].name], "model_log_hazard", to=TensorProto.DOUBLE)
    part.node("Identity", [_risk_of_hazard(part, hazard, axis=1)], PROBABILITIES)


def _ordered(part: _Part, columns: str, estimator: Any) -> None:
    """A proportional-odds model: one sum, and the class probabilities between its cuts."""
    across = part.node("Transpose", [columns], "model_across")
    terms = part.node("Mul", [across, part.constant("model_coefficients", estimator.coef_[0][:, None])], "model_terms")
    axis = part.constant("model_axis", [0], np.int64)
    score = part.node("Transpose", [part.node("ReduceSum", [terms, axis], "model_total", keepdims=1)], "model_score")
    cuts = part.node("Sub", [score, part.constant("model_cuts", estimator.cuts_[None])], "model_apart")
    above = part.node("Sigmoid", [cuts], "model_above")
    none = part.node("Mul", [score, part.constant("model_zero", 0.0)], "model_none")
    whole = part.node("Add", [none, part.constant("model_one", 1.0)], "model_whole")
    upper = part.node("Concat", [whole, above], "model_upper", axis=1)
    part.node("Sub", [upper, part.node("Concat", [above, none], "model_lower", axis=1)], PROBABILITIES)


def _linear_terms(part: _Part, across: str, estimator: Any) -> Iterator[tuple[str, float]]:
    """Each class's terms (q, n) of the log-odds, and its intercept; one class where there are two."""
    for k, (weights, intercept) in enumerate(zip(estimator.coef_, estimator.intercept_, strict=True)):
        weighted = [across, part.constant(f"model_coefficients_{k}", weights[:, None])]
        yield part.node("Mul", weighted, f"model_terms_{k}"), intercept


def _bayes_terms(part: _Part, across: str, estimator: Any) -> Iterator[tuple[str, float]]:
    """Each class's terms (q, n) of the joint log density, and its constant: log prior and log of the spreads."""
    for k, (means, variances) in enumerate(zip(estimator.theta_, estimator.var_, strict=True)):
        apart = part.node("Sub", [across, part.constant(f"model_means_{k}", means[:, None])], f"model_apart_{k}")
        squared = part.node("Mul", [apart, apart], f"model_squared_{k}")
        weighted = [squared, part.constant(f"model_weights_{k}", -0.5 / variances[:, None])]
        constant = np.log(estimator.class_prior_[k]) - 0.5 * np.log(2 * np.pi * variances).sum()
        yield part.node("Mul", weighted, f"model_terms_{k}"), constant


_DOUBLE: dict[str, Callable[[_Part, str, Any], Iterator[tuple[str, float]]]] = {
    "LogisticRegression": _linear_terms,
    "RidgeHazards": _linear_terms,
    "GaussianNB": _bayes_terms,
}


def _converted(part: _Part, columns: str, estimator: Any) -> None:
    """Any other model, from columns (n, q) to ``model_probabilities`` (n, k), in single precision inside."""
    import logging

    from onnx import TensorProto, compose
    from skl2onnx import convert_sklearn, update_registered_converter
    from skl2onnx.common.data_types import FloatTensorType
    from skl2onnx.common.exceptions import MissingConverter, MissingShapeCalculator
    from skl2onnx.common.shape_calculator import calculate_linear_classifier_output_shapes

    options = {"nocl": [True, False], "zipmap": [True, False, "columns"]}
    kind = type(estimator).__name__
    if kind == "LGBMClassifier":
        from onnxmltools.convert.lightgbm.operator_converters.LightGbm import convert_lightgbm

        update_registered_converter(
            type(estimator), "LightGbmLGBMClassifier", calculate_linear_classifier_output_shapes,
            lambda scope, operator, container: convert_lightgbm(scope, operator, _RoundedDown(container)),
            options=options,
        )  # fmt: skip
    elif kind == "XGBClassifier":
        from onnxmltools.convert.xgboost.operator_converters.XGBoost import convert_xgboost

        update_registered_converter(
            type(estimator), "XGBoostXGBClassifier", calculate_linear_classifier_output_shapes, convert_xgboost,
            options=options,
        )  # fmt: skip
    logging.getLogger("skl2onnx").setLevel(logging.ERROR)
    try:
        model = convert_sklearn(
            estimator,
            # Without a name the graph gets a random one, and two exports of one model would differ.
            name="model",
            initial_types=[("columns", FloatTensorType([None, estimator.n_features_in_]))],
            options={id(estimator): {"zipmap": False}},
            target_opset={"": OPSET, "ai.onnx.ml": ML_OPSET},
        )
    except (MissingShapeCalculator, MissingConverter):
        raise ClinicalAssetsError(
            f"{kind} has no converter to ONNX, so that no bundle can hold it.",
            cure="Take the candidate out of modelling.candidates, or write its terms into modelling/bundle/graph/"
            "onnx_graph.py.",
        ) from None
    part.node("Cast", [columns], "model_columns", to=TensorProto.FLOAT)
    graph = compose.add_prefix(model, prefix="model_").graph
    part.nodes += graph.node
    part.constants += graph.initializer


class _RoundedDown:
    """A converter's container in which the splits of trees are rounded down to single precision.

    LightGBM's splits lie in the middle of two values. Rounded to the nearest, the split between two neighbours of
    single precision may become the upper one, which then falls to the wrong side of ``<=``; rounded down, every value
    of single precision stays on its side.
    """

    def __init__(self, container: Any) -> None:
        self._container = container

    def __getattr__(self, name: str) -> Any:
        return getattr(self._container, name)

    def add_node(self, kind: str, *names: Any, **attributes: Any) -> None:
        """Hand a node on, its splits rounded."""
        if "nodes_values" in attributes:
            exact = np.asarray(attributes["nodes_values"], dtype=np.float64)
            with np.errstate(over="ignore"):  # a split between known and missing lies at the end of double precision
                near = exact.astype(np.float32)
            low = np.where(near > exact, np.nextafter(near, np.float32(-np.inf)), near)
            attributes["nodes_values"] = low.astype(np.float64).tolist()
        self._container.add_node(kind, *names, **attributes)


def _before(part: _Part, preparation: Preparation) -> str:
    """Preparation in double precision; the name of the model's columns (n, q)."""
    from onnx import TensorProto

    here = FEATURES
    for number, pooled in enumerate(preparation.pooled):
        here = _pooled(part, here, pooled, width=preparation.n_features, name=f"pooled_{number}")
    for number, words in enumerate(preparation.words):
        here = _tfidf(part, here, words, width=preparation.n_features, name=f"words_{number}")
    if preparation.medians is not None or preparation.flagged:
        part.node("IsNaN", [here], "is_missing")
    if preparation.medians is not None:
        here = part.node("Where", ["is_missing", part.constant("medians", preparation.medians), here], "filled")
    if preparation.flagged:
        flags = part.node("Cast", ["is_missing"], "flags", to=TensorProto.DOUBLE)
        here = part.node("Concat", [here, flags], "flagged", axis=1)
    width = preparation.n_features * (2 if preparation.flagged else 1)
    if not np.array_equal(preparation.kept, np.arange(width)):
        here = part.node("Gather", [here, part.constant("kept", preparation.kept, np.int64)], "kept_columns", axis=1)
    if preparation.scaled:
        here = part.node("Sub", [here, part.constant("centre", preparation.centre)], "centred")
        here = part.node("Div", [here, part.constant("spread", preparation.spread)], "scaled")
    return here


def _pooled(part: _Part, here: str, feature: PooledFeature, *, width: int, name: str) -> str:
    """Features in which the groups of one became their means: equal to one known group, or to none."""
    from onnx import TensorProto

    column = part.node("Gather", [here, part.constant(f"{name}_place", [feature.place], np.int64)], name, axis=1)
    means = part.constant(f"{name}_otherwise", [[feature.otherwise]])
    if feature.groups:
        equal = part.node("Equal", [column, part.constant(f"{name}_groups", [feature.groups])], f"{name}_equal")
        each = part.node("Cast", [equal], f"{name}_each", to=TensorProto.DOUBLE)
        # All terms but one are 0, so the sum is exact in any order.
        valued = part.node("Mul", [each, part.constant(f"{name}_means", [feature.means])], f"{name}_valued")
        axis = part.constant(f"{name}_axis", [1], np.int64)
        summed = part.node("ReduceSum", [valued, axis], f"{name}_summed", keepdims=1)
        count = part.node("ReduceSum", [each, axis], f"{name}_count", keepdims=1)
        known = part.node("Cast", [count], f"{name}_known", to=TensorProto.BOOL)
        means = part.node("Where", [known, summed, means], f"{name}_filled")
    mine = part.constant(f"{name}_mine", [np.arange(width) == feature.place], np.bool_)
    return part.node("Where", [mine, means, here], f"{name}_features")


def _tfidf(part: _Part, here: str, words: WordWeights, *, width: int, name: str) -> str:
    """Features in which the counts of one note's words became TF-IDF: weighed, and divided by their length."""
    weights, mine = np.zeros(width), np.zeros(width, dtype=bool)
    weights[list(words.places)], mine[list(words.places)] = words.weights, True
    zero, one = part.constant(f"{name}_zero", 0.0), part.constant(f"{name}_one", 1.0)
    counts = part.node("Where", [part.constant(f"{name}_mine", [mine], np.bool_), here, zero], f"{name}_counts")
    known = part.node("Where", [part.node("IsNaN", [counts], f"{name}_unknown"), zero, counts], f"{name}_known")
    weighed = part.node("Mul", [known, part.constant(f"{name}_weights", [weights])], f"{name}_weighed")
    across = part.node("Transpose", [part.node("Mul", [weighed, weighed], f"{name}_squared")], f"{name}_across")
    axis = part.constant(f"{name}_axis", [0], np.int64)
    length = part.node("Sqrt", [part.node("ReduceSum", [across, axis], f"{name}_sum", keepdims=1)], f"{name}_length")
    none = part.node("Equal", [length, zero], f"{name}_none")
    divisor = part.node("Transpose", [part.node("Where", [none, one, length], f"{name}_divisor")], f"{name}_divisors")
    tfidf = part.node("Div", [weighed, divisor], f"{name}_tfidf")
    return part.node("Where", [f"{name}_mine", tfidf, here], f"{name}_features")


def _after(part: _Part, here: str, recalibration: Recalibration, *, floor: float, n_classes: int) -> None:
    """From probabilities (n, k) to served risk; of more than two classes by the cuts between them."""
    from onnx import TensorProto, helper

    single = n_classes == 2
    here = part.node("Cast", [here], "raw_double", to=TensorProto.DOUBLE)
    bounds = [part.constant("floor", floor), part.constant("ceiling", 1 - floor)]
    here = part.node("Clip", [here, *bounds], "raw_clipped")
    if single:
        here = part.node("Gather", [here, part.constant("positive", 1, np.int64)], "raw", axis=1)
    else:
        above = part.node(
            "CumSum", [part.shares(here, "raw_shares"), part.constant("along", 1, np.int64)], "above", reverse=1
        )
        cuts = part.constant("cuts", np.arange(1, n_classes), np.int64)
        inside = [part.constant("cut_floor", CUT_FLOOR), part.constant("cut_ceiling", 1 - CUT_FLOOR)]
        here = part.node("Clip", [part.node("Gather", [above, cuts], "raw_cuts", axis=1), *inside], "raw")
    rest = part.node("Sub", [part.constant("one", 1.0), here], "raw_rest")
    logs = [part.node("Log", [here], "log_raw"), part.node("Log", [rest], "log_rest")]
    log_odds = part.node("Sub", logs, "log_odds")
    slope = part.constant("slope", recalibration.slopes[0] if single else recalibration.slopes)
    intercept = part.constant("intercept", recalibration.intercepts[0] if single else recalibration.intercepts)
    moved = part.node("Add", [part.node("Mul", [log_odds, slope], "stretched"), intercept], "moved")
    limits = [part.constant("lowest", -LOGIT_LIMIT), part.constant("highest", LOGIT_LIMIT)]
    bounded = part.node("Clip", [moved, *limits], "bounded")
    if single:
        part.node("Sigmoid", [bounded], RISK)
        return
    served = part.node("Sigmoid", [bounded], "served")
    part.nodes.append(
        helper.make_node("TopK", [served, part.constant("all_cuts", [n_classes - 1], np.int64)], ["ordered", "places"])
    )
    first = part.node("Gather", [served, part.constant("first", [0], np.int64)], "first_cut", axis=1)
    none = part.node("Mul", [first, part.constant("zero", 0.0)], "none")
    whole = part.node("Add", [none, part.constant("certain", 1.0)], "whole")
    upper = part.node("Concat", [whole, "ordered"], "upper", axis=1)
    lower = part.node("Concat", ["ordered", none], "lower", axis=1)
    between = part.node("Sub", [upper, lower], "between")
    lifted = part.node("Add", [between, part.constant("class_floor", CLASS_FLOOR)], "lifted")
    part.node("Div", [lifted, part.constant("all_classes", 1 + n_classes * CLASS_FLOOR)], RISK)
