"""One ONNX graph from features to served risk: preparation, model, recalibration.

The model's own part is made by the maintained converters, which work in single precision. What stands before and after
it is built here in double precision: a scaled value rounded too early lands on the other side of a tree's split, and a
risk near 1 has no digits left for its log-odds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from clinical_assets.errors import ClinicalAssetsError
from clinical_assets.modelling.preparation import Preparation
from clinical_assets.modelling.recalibration import LOGIT_LIMIT, Recalibration

if TYPE_CHECKING:
    import onnx

OPSET = 19
ML_OPSET = 3
IR_VERSION = 9
FEATURES = "features"
RISK = "risk"


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
        What happens after it.
    floor : float
        Raw risks are kept this far from 0 and 1.
    n_classes : int
        2 gives the risk of class 1, shape (n,); more give (n, k).

    Returns
    -------
    onnx.ModelProto
        Input ``features``, double, (n, p), NaN for missing; output ``risk``, double. The same model gives the same
        bytes.
    """
    import onnx
    from onnx import TensorProto, checker, compose, helper

    model = _converted(estimator, n_columns=int(preparation.kept.size))
    model = compose.add_prefix(model, prefix="model_")
    before = _before(preparation)
    after = _after(recalibration, floor=floor, n_classes=n_classes)
    opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid("ai.onnx.ml", ML_OPSET)]
    rank = [None] if n_classes == 2 else [None, n_classes]
    graph = helper.make_graph(
        nodes=[*before[0], *model.graph.node, *after[0]],
        name="clinical_assets",
        inputs=[helper.make_tensor_value_info(FEATURES, TensorProto.DOUBLE, [None, preparation.n_features])],
        outputs=[helper.make_tensor_value_info(RISK, TensorProto.DOUBLE, rank)],
        initializer=[*before[1], *model.graph.initializer, *after[1]],
    )
    whole = helper.make_model(graph, opset_imports=opsets, producer_name="clinical_assets", ir_version=IR_VERSION)
    checker.check_model(whole, full_check=False)
    if not isinstance(whole, onnx.ModelProto):
        raise ClinicalAssetsError("the ONNX graph could not be built.", cure="Report the candidate and its parameters.")
    return whole


def _converted(estimator: Any, *, n_columns: int) -> onnx.ModelProto:
    """The model alone, from single-precision columns to ``probabilities`` (n, k)."""
    import logging

    from skl2onnx import convert_sklearn, update_registered_converter
    from skl2onnx.common.data_types import FloatTensorType
    from skl2onnx.common.shape_calculator import calculate_linear_classifier_output_shapes

    options = {"nocl": [True, False], "zipmap": [True, False, "columns"]}
    kind = type(estimator).__name__
    if kind == "LGBMClassifier":
        from onnxmltools.convert.lightgbm.operator_converters.LightGbm import convert_lightgbm

        update_registered_converter(
            type(estimator), "LightGbmLGBMClassifier", calculate_linear_classifier_output_shapes, convert_lightgbm,
            options=options,
        )  # fmt: skip
    elif kind == "XGBClassifier":
        from onnxmltools.convert.xgboost.operator_converters.XGBoost import convert_xgboost

        update_registered_converter(
            type(estimator), "XGBoostXGBClassifier", calculate_linear_classifier_output_shapes, convert_xgboost,
            options=options,
        )  # fmt: skip
    logging.getLogger("skl2onnx").setLevel(logging.ERROR)
    return convert_sklearn(
        estimator,
        # Without a name the graph gets a random one, and two exports of one model would differ.
        name="model",
        initial_types=[("columns", FloatTensorType([None, n_columns]))],
        options={id(estimator): {"zipmap": False}},
        target_opset={"": OPSET, "ai.onnx.ml": ML_OPSET},
    )


def _before(preparation: Preparation) -> tuple[list[Any], list[Any]]:
    from onnx import TensorProto, helper, numpy_helper

    nodes, constants = [], []

    def constant(name: str, value: np.ndarray) -> str:
        constants.append(numpy_helper.from_array(value, name))
        return name

    here = FEATURES
    if preparation.medians is not None or preparation.flagged:
        nodes.append(helper.make_node("IsNaN", [FEATURES], ["is_missing"]))
    if preparation.medians is not None:
        nodes.append(
            helper.make_node("Where", ["is_missing", constant("medians", preparation.medians), here], ["filled"])
        )
        here = "filled"
    if preparation.flagged:
        nodes.append(helper.make_node("Cast", ["is_missing"], ["flags"], to=TensorProto.DOUBLE))
        nodes.append(helper.make_node("Concat", [here, "flags"], ["flagged"], axis=1))
        here = "flagged"
    width = preparation.n_features * (2 if preparation.flagged else 1)
    if not np.array_equal(preparation.kept, np.arange(width)):
        nodes.append(helper.make_node("Gather", [here, constant("kept", preparation.kept)], ["kept_columns"], axis=1))
        here = "kept_columns"
    if preparation.centre.any() or (preparation.spread != 1).any():
        nodes.append(helper.make_node("Sub", [here, constant("centre", preparation.centre)], ["centred"]))
        nodes.append(helper.make_node("Div", ["centred", constant("spread", preparation.spread)], ["scaled"]))
        here = "scaled"
    nodes.append(helper.make_node("Cast", [here], ["model_columns"], to=TensorProto.FLOAT))
    return nodes, constants


def _after(recalibration: Recalibration, *, floor: float, n_classes: int) -> tuple[list[Any], list[Any]]:
    from onnx import TensorProto, helper, numpy_helper

    nodes, constants = [], []

    def constant(name: str, value: Any, dtype: type = np.float64) -> str:
        constants.append(numpy_helper.from_array(np.asarray(value, dtype=dtype), name))
        return name

    def node(kind: str, inputs: list[str], output: str, **attributes: Any) -> str:
        nodes.append(helper.make_node(kind, inputs, [output], **attributes))
        return output

    here = node("Cast", ["model_probabilities"], "raw_double", to=TensorProto.DOUBLE)
    here = node("Clip", [here, constant("floor", floor), constant("ceiling", 1 - floor)], "raw_clipped")
    if n_classes == 2:
        here = node("Gather", [here, constant("positive", 1, np.int64)], "raw", axis=1)
    else:
        total = node("ReduceSum", [here, constant("class_axis", [1], np.int64)], "raw_total", keepdims=1)
        here = node("Div", [here, total], "raw")
    rest = node("Sub", [constant("one", 1.0), here], "raw_rest")
    log_odds = node("Sub", [node("Log", [here], "log_raw"), node("Log", [rest], "log_rest")], "log_odds")
    single = n_classes == 2
    slope = constant("slope", recalibration.slopes[0] if single else recalibration.slopes)
    intercept = constant("intercept", recalibration.intercepts[0] if single else recalibration.intercepts)
    moved = node("Add", [node("Mul", [log_odds, slope], "stretched"), intercept], "moved")
    bounded = node("Clip", [moved, constant("lowest", -LOGIT_LIMIT), constant("highest", LOGIT_LIMIT)], "bounded")
    if single:
        node("Sigmoid", [bounded], RISK)
    else:
        served = node("Sigmoid", [bounded], "served")
        total = node("ReduceSum", [served, constant("served_axis", [1], np.int64)], "served_total", keepdims=1)
        node("Div", [served, total], RISK)
    return nodes, constants
