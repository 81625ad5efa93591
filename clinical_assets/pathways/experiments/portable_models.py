"""Models of a study as files without a pickle, which score a subject that the study has not seen.

What belongs here: a fitted model to ONNX, and scores from it. What does not: which model (``study``).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clinical_assets.foundation.canonical import readable_json
from clinical_assets.foundation.errors import ClinicalAssetsError
from clinical_assets.pathways.study.designs import Design
from clinical_assets.pathways.study.search import Configuration
from clinical_assets.pathways.study.sweep import Family, Labels

_OPSET = {"": 19, "ai.onnx.ml": 3}
_INPUT, _NAME = "features", "micro_cohort_model"


class PortableModelError(ClinicalAssetsError):
    """A model that lacks a feature of the subject, or whose file is of another kind."""


def portable_model(
    design: Design, y: Labels, family: Family, configuration: Configuration, *, seed: int
) -> tuple[bytes, str]:
    """Fit a configuration to all subjects of a design.

    Returns
    -------
    graph : bytes
        ONNX, single precision in, probability of both classes out; the same fit gives the same bytes.
    about : str
        JSON: design, family, configuration, names of the features in their order.
    """
    from skl2onnx import convert_sklearn
    from skl2onnx.common.data_types import FloatTensorType

    fitted = family.fitted(configuration, design.x, y, seed=seed)
    graph = convert_sklearn(
        fitted,
        name=_NAME,
        initial_types=[(_INPUT, FloatTensorType([None, len(design.features)]))],
        options={"zipmap": False},
        target_opset=_OPSET,
    )
    about = {
        "format": 1,
        "design": design.name,
        "family": family.name,
        "parameters": dict(configuration.parameters),
        "fitted_to_subjects": int(y.size),
        "features": list(design.features),
    }
    return graph.SerializeToString(deterministic=True), readable_json(about)


def score_with(graph: bytes, about: str, features: Sequence[str], x: NDArray[np.float32]) -> NDArray[np.float64]:
    """Probability of the positive label for subjects, from the files of `portable_model`.

    Parameters
    ----------
    graph, about
        As `portable_model` gave them.
    features : sequence of str
        Names of the columns of `x`; more than the model needs, and any order, will do.
    x : float32 array, shape (n_subjects, n_features)
        Values of the design, such as ternary scores.

    Raises
    ------
    PortableModelError
        A feature of the model is missing.
    """
    import onnxruntime

    stated: Mapping[str, Any] = json.loads(about)
    place = {name: i for i, name in enumerate(features)}
    missing = [name for name in stated["features"] if name not in place]
    if missing:
        raise PortableModelError(
            f"{len(missing)} features of the model are missing, such as {missing[0]!r}",
            cure="score the subject on the same genes and gene sets",
        )
    columns = np.ascontiguousarray(x[:, [place[name] for name in stated["features"]]], dtype=np.float32)
    session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
    return np.asarray(session.run(None, {_INPUT: columns})[1][:, 1], dtype=np.float64)
