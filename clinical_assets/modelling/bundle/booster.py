"""The booster of a bundle in its own library: contributions of tree models, and the scores of XGBoost.

XGBoost's own predictor is several times as fast as its ONNX graph, is what the training scored with, and works in
single precision like the graph. A bundle scores with it everywhere, one patient or a batch, and holds samples of every
call against the graph (``docs/decisions/0003-one-scoring-path.md``).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from clinical_assets.foundation.types import FloatArray
from clinical_assets.modelling.bundle.bundle_description import LIGHTGBM, BoosterExplanation, StoredExplanation
from clinical_assets.modelling.search.candidates import clipped_risk
from clinical_assets.modelling.search.recalibration import Recalibration
from clinical_assets.modelling.table.preparation import Preparation
from clinical_assets.statistics.survival.proportional_hazards import risk_of_hazard


def load_booster(stored: StoredExplanation, folder: Path) -> Any:
    """The booster that ``contributions.export`` stored, on one thread; None where there is none.

    Parameters
    ----------
    stored : StoredExplanation
        As ``contributions.export`` gave it.
    folder : Path
        The bundle's folder.
    """
    if not isinstance(stored, BoosterExplanation):
        return None
    if stored.method == LIGHTGBM:
        import lightgbm

        return lightgbm.Booster(model_str=(folder / stored.file).read_text(encoding="utf-8"))
    import xgboost

    booster = xgboost.Booster({"nthread": 1})
    booster.load_model(bytearray((folder / stored.file).read_bytes()))
    return booster


@dataclass(frozen=True)
class NativeScore:
    """From features to served risk by XGBoost's own predictor.

    Attributes
    ----------
    booster : xgboost.Booster
        Of a model of two classes; its in-place prediction may be called from several threads.
    preparation, recalibration
        What stands before and after it.
    floor : float
        Raw risks are kept this far from 0 and 1.
    of_hazard : bool
        True where the booster gives a log cumulative hazard, not a risk.
    """

    booster: Any
    preparation: Preparation
    recalibration: Recalibration
    floor: float
    of_hazard: bool = False

    def __call__(self, X: FloatArray) -> FloatArray:
        """Served risks (n,) of features (n, p), NaN for missing."""
        if X.shape[0] == 0:
            return np.empty(0)
        raw = self.booster.inplace_predict(self.preparation.apply(X))
        if self.of_hazard:
            raw = risk_of_hazard(raw.astype(np.float64))
        return self.recalibration.apply(clipped_risk(raw, floor=self.floor))
