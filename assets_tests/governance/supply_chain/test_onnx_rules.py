"""A graph is made of standard operators, complete in its file, and accepted by the checker."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from assets_tests.worlds.ward.trained import Trained
from clinical_assets.governance.supply_chain.onnx_rules import graph_problems


def _graph(*nodes: onnx.NodeProto, initializers: tuple[TensorProto, ...] = ()) -> onnx.GraphProto:
    kind = TensorProto.DOUBLE
    return helper.make_graph(
        list(nodes),
        "risk",
        [helper.make_tensor_value_info("x", kind, [None])],
        [helper.make_tensor_value_info("y", kind, [None])],
        initializer=list(initializers),
    )


def _model(graph: onnx.GraphProto, *domains: str) -> onnx.ModelProto:
    opsets = [helper.make_opsetid("", 21), *(helper.make_opsetid(domain, 1) for domain in domains)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=10)


RIGHT = _model(_graph(helper.make_node("Identity", ["x"], ["y"])))


def test_a_graph_of_standard_operators_is_right(trained_once: Trained) -> None:
    assert graph_problems(RIGHT.SerializeToString()) == ()
    assert graph_problems((trained_once.training.folder / "bundle" / "model.onnx").read_bytes()) == ()


def test_operators_of_another_domain_are_named() -> None:
    foreign = _model(_graph(helper.make_node("RunCommand", ["x"], ["y"], domain="com.evil")), "com.evil")
    problems = " ".join(graph_problems(foreign.SerializeToString()))
    assert "com.evil" in problems
    assert "RunCommand" in problems


def test_operators_of_another_domain_are_named_inside_a_branch() -> None:
    inner = helper.make_graph(
        [helper.make_node("RunCommand", [], ["b"], domain="com.evil")],
        "inner",
        [],
        [helper.make_tensor_value_info("b", TensorProto.DOUBLE, [None])],
    )
    yes = numpy_helper.from_array(np.array(True), "yes")
    node = helper.make_node("If", ["yes"], ["y"], then_branch=inner, else_branch=inner)
    assert "RunCommand" in " ".join(graph_problems(_model(_graph(node, initializers=(yes,))).SerializeToString()))


def test_numbers_in_another_file_are_named() -> None:
    model = onnx.ModelProto.FromString(RIGHT.SerializeToString())
    tensor = model.graph.initializer.add(name="weights", data_type=TensorProto.DOUBLE)
    tensor.dims.append(1)
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="../../secrets")
    assert any("weights lies in another file" in each for each in graph_problems(model.SerializeToString()))


def test_functions_of_its_own_are_named() -> None:
    model = onnx.ModelProto.FromString(RIGHT.SerializeToString())
    opsets = [helper.make_opsetid("", 21)]
    body = [helper.make_node("Identity", ["a"], ["b"])]
    model.functions.append(helper.make_function("ai.onnx.ml", "Mine", ["a"], ["b"], body, opsets))
    assert any("Mine" in each for each in graph_problems(model.SerializeToString()))


@pytest.mark.parametrize("operator", ["NotThere", "Scaler"])
def test_an_operator_that_the_standard_does_not_know_is_named(operator: str) -> None:
    wrong = _model(_graph(helper.make_node(operator, ["x"], ["y"])))
    assert any(operator in each for each in graph_problems(wrong.SerializeToString()))


@pytest.mark.parametrize("content", [b"", b"no graph at all", b"\x08\x0a"])
def test_what_is_no_graph_is_refused(content: bytes) -> None:
    assert graph_problems(content)


def test_a_graph_that_the_checker_refuses_is_refused() -> None:
    broken = _model(_graph(helper.make_node("Identity", ["nowhere"], ["y"])))
    assert any("checker" in each for each in graph_problems(broken.SerializeToString()))
