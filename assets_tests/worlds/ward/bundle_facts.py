"""What a bundle needs to say of a cohort, made up: for tests of bundles that no training made."""

from __future__ import annotations

from typing import Any

from clinical_assets.modelling.bundle.bundle_description import BundleFacts


def made_up_facts(cohort: str = "made_up", **changes: Any) -> BundleFacts:
    """Facts of a cohort with two tiers; `changes` are other values by name."""
    tiers = [{"name": name, "lower": lower, "action": "None."} for name, lower in (("Low", 0.0), ("High", 0.5))]
    plain = {"cohort": cohort, "synthetic": True, "action_from": 1, "threshold": 0.5, "tiers": tiers}
    return BundleFacts.model_validate({**plain, **changes})
