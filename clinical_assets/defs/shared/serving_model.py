"""The champion that serves a cohort, verified before anything is scored or reported with it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from clinical_assets.workspace import CohortHandle

if TYPE_CHECKING:
    from clinical_assets.modelling.bundle.bundle import Bundle
    from clinical_assets.modelling.champion.champion_pointer import Champion


def serving_model(cohort: CohortHandle) -> tuple[Champion, Bundle] | None:
    """What serves, as `promotion.serving` verifies it; None before the first promotion."""
    from clinical_assets.governance.promotion import promotion

    return promotion.serving(cohort.settings, cohort.name)
