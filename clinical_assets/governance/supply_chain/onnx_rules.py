"""What an ONNX graph may be made of: the standard's own operators, its weights inside the file, a size within limits.

A graph of standard operators cannot read files, call programs or load libraries; each rule here closes one way around
that.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import onnx

# The empty name stands for ai.onnx.
DOMAINS = frozenset({"", "ai.onnx", "ai.onnx.ml"})


def graph_problems(content: bytes) -> tuple[str, ...]:
    """What is wrong with a serialised ONNX model; empty is good.

    Parameters
    ----------
    content : bytes
        The file. Nothing beside it is opened.
    """
    import onnx
    from google.protobuf.message import DecodeError

    try:
        model = onnx.load_model_from_string(content)
    except (DecodeError, ValueError):
        return ("it cannot be read as an ONNX model",)
    problems = [*_foreign(model), *_outside(model)]
    try:
        # The bytes again and not the message: checking the message writes it out a second time.
        onnx.checker.check_model(content, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        problems.append(f"the ONNX checker refuses it: {str(error).splitlines()[0]}")
    return tuple(dict.fromkeys(problems))


def _foreign(model: onnx.ModelProto) -> Iterator[str]:
    from onnx import defs

    for opset in model.opset_import:
        if opset.domain not in DOMAINS:
            yield f"it imports operators of {opset.domain!r}"
    if model.functions:
        yield f"it defines functions of its own: {', '.join(sorted(each.name for each in model.functions))}"
    for node in _nodes(model.graph):
        if node.domain not in DOMAINS:
            yield f"operator {node.op_type} is of {node.domain!r}"
        elif not defs.has(node.op_type, "" if node.domain == "ai.onnx" else node.domain):
            yield f"operator {node.op_type} is not in the standard"


def _outside(model: onnx.ModelProto) -> Iterator[str]:
    for tensor in _tensors(model.graph):
        if tensor.data_location != 0 or tensor.external_data:
            yield f"tensor {tensor.name or '(without a name)'} lies in another file"


def _graphs(graph: onnx.GraphProto) -> Iterator[onnx.GraphProto]:
    """A graph and every graph in its branches and loops."""
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            for inner in (*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs):
                yield from _graphs(inner)


def _nodes(graph: onnx.GraphProto) -> Iterator[onnx.NodeProto]:
    for each in _graphs(graph):
        yield from each.node


def _tensors(graph: onnx.GraphProto) -> Iterator[onnx.TensorProto]:
    for each in _graphs(graph):
        yield from each.initializer
        for sparse in each.sparse_initializer:
            yield from (sparse.values, sparse.indices)
        for node in each.node:
            for attribute in node.attribute:
                if attribute.HasField("t"):
                    yield attribute.t
                yield from attribute.tensors
                if attribute.HasField("sparse_tensor"):
                    yield from (attribute.sparse_tensor.values, attribute.sparse_tensor.indices)
                for sparse in attribute.sparse_tensors:
                    yield from (sparse.values, sparse.indices)
