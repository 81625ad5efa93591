"""The explorer's page. Streamlit runs this file anew at every move of a control: ``clinical-assets explore COHORT``."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import streamlit as st

from clinical_assets.foundation.errors import ClinicalAssetsError, InsufficientData
from clinical_assets.observability.explorer.cases import (
    ALL,
    ExploredModel,
    ThresholdLook,
    cases_at,
    explored_model,
    look,
)
from clinical_assets.reporting.figures import in_percent, panel
from clinical_assets.statistics.decisions.net_benefit import cost_threshold
from clinical_assets.statistics.uncertainty.intervals import Estimate
from clinical_assets.workspace import Workspace

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def _model(cohort: str) -> ExploredModel:
    # Kept for the session of a browser: another one reads what is newest by then.
    if cohort not in st.session_state:
        st.session_state[cohort] = explored_model(Workspace.from_environment().cohort(cohort))
    model: ExploredModel = st.session_state[cohort]
    return model


def _said(estimate: Estimate | None, *, share: bool = True) -> str:
    if estimate is None:
        return "insufficient"
    show = in_percent if share else "{:.3f}".format
    return f"{show(estimate.value)} ({show(estimate.ci_low)} to {show(estimate.ci_high)})"


def decision_figure(seen: ThresholdLook, *, threshold: float, synthetic: bool) -> Figure:
    """Net benefit of the model, of treating everyone and no one, over thresholds."""
    figure, axes = panel("threshold", "net benefit", synthetic)
    curve = seen.curve
    axes.plot(curve.thresholds, curve.model, label="model")
    axes.fill_between(curve.thresholds, curve.model_low, curve.model_high, alpha=0.2)
    axes.plot(curve.thresholds, curve.treat_all, linestyle="--", label="treat all")
    axes.axhline(0, color="grey", linewidth=1, label="treat none")
    axes.axvline(threshold, color="black", linewidth=1, linestyle=":")
    axes.set_ylim(bottom=max(float(curve.treat_all.min()), -0.1))
    axes.legend()
    return figure


def calibration_figure(seen: ThresholdLook, *, synthetic: bool) -> Figure:
    """Observed share by predicted risk, with the bins behind it."""
    figure, axes = panel("predicted risk", "observed share", synthetic)
    plot = seen.calibration
    assert plot is not None, "asked for only where there is one"
    axes.plot([0, 1], [0, 1], color="grey", linestyle="--")
    axes.plot(plot.predicted, plot.observed)
    axes.fill_between(plot.predicted, plot.low, plot.high, alpha=0.2)
    axes.scatter(plot.bin_predicted, plot.bin_observed)
    end = float(max(plot.predicted.max(), plot.bin_observed.max()))
    axes.set_xlim(0, end)
    axes.set_ylim(0, end)
    return figure


def _controls(model: ExploredModel) -> dict[str, Any]:
    with st.sidebar:
        st.header("Move")
        group = st.selectbox("Subgroup", [ALL, *model.groups])
        c_fp = st.number_input("Cost of a false alarm", min_value=0.01, value=float(model.c_fp))
        c_fn = st.number_input("Cost of a missed event", min_value=0.01, value=float(model.c_fn))
        best = cost_threshold(c_fp, c_fn)
        follow = st.checkbox(f"Threshold of these costs ({in_percent(best)})", value=False)
        chosen = st.slider("Threshold", 0.001, 0.999, float(model.threshold), 0.001, format="%.3f", disabled=follow)
    return {"group": str(group), "c_fp": c_fp, "c_fn": c_fn, "threshold": best if follow else chosen}


def _show(model: ExploredModel) -> None:
    st.title(model.title)
    if model.synthetic:
        st.warning("SYNTHETIC RECORDS: nothing here says anything about patients.")
    st.caption(
        "Out-of-fold risks of the training rows; the holdout is not shown, so that nobody chooses by it. Nothing that "
        f"is moved here changes the model: threshold, costs and tiers stand in the description. Bundle {model.digest}"
    )
    asked = _controls(model)
    try:
        seen = look(model, **asked)
    except InsufficientData as error:
        st.error(f"Insufficient: {error.message}")
        return
    at = seen.at
    st.subheader(f"{asked['group']}: {seen.n} rows, {seen.events} events, act from {in_percent(asked['threshold'])}")
    st.table(
        {
            "measure": ["AUROC", "sensitivity", "specificity", "ppv", "alerts", "net benefit", "cost per person"],
            "value (95 % interval)": [
                _said(seen.area, share=False),
                *map(_said, (at.sensitivity, at.specificity, at.ppv, at.alert_rate)),
                _said(seen.benefit, share=False),
                _said(seen.cost, share=False),
            ],
        }
    )
    left, right = st.columns(2)
    left.pyplot(decision_figure(seen, threshold=asked["threshold"], synthetic=model.synthetic))
    if seen.calibration is None:
        right.info(f"Calibration: insufficient. {seen.insufficient}")
    else:
        right.pyplot(calibration_figure(seen, synthetic=model.synthetic))
    st.subheader("Cases nearest to the threshold")
    st.dataframe(cases_at(model, threshold=asked["threshold"], group=asked["group"]), hide_index=True)


def main() -> None:
    """The whole page."""
    st.set_page_config(page_title="Explorer", layout="wide")
    try:
        model = _model(sys.argv[1])
    except ClinicalAssetsError as error:
        st.error(f"{error.message} {error.cure or ''}")
        return
    _show(model)


main()
