"""How certain the risks of a model are on rows that it has not seen, in a few numbers for card and dossier.

What belongs here: the summary over people. What does not: the interval of a person (``Bundle.intervals``).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from clinical_assets.foundation.types import FloatArray
from clinical_assets.modelling.bundle.bundle import Bundle
from clinical_assets.modelling.bundle.bundle_description import COVERED

#: From this probability of another tier on, a person's tier is called uncertain.
UNCERTAIN = 0.2


def risk_certainty(bundle: Bundle, features: FloatArray) -> dict[str, Any]:
    """Widths of the intervals of rows (n, p), and how many of them may be in another tier.

    Returns
    -------
    dict
        ``statement``: what an interval covers, or why none is given; ``level``, ``n``; ``median_width`` and
        ``tenth_width`` (one row in ten has a wider one), ``mean_other_tier_prob``, and ``uncertain_tier_share``: rows
        whose true risk lies in another tier with a probability of `UNCERTAIN` or more. Numbers are None without
        intervals or rows.
    """
    stored, why_not = bundle.description.uncertainty, bundle.description.without_interval()
    found = bundle.intervals(features, bundle.score(features)) if len(features) else None
    if stored is None or found is None:
        none = dict.fromkeys(("level", "median_width", "tenth_width", "mean_other_tier_prob", "uncertain_tier_share"))
        return {"statement": why_not or COVERED, "n": len(features), **none}
    width = found.high - found.low
    return {
        "statement": COVERED,
        "n": len(features),
        "level": stored.level,
        "median_width": float(np.median(width)),
        "tenth_width": float(np.quantile(width, 0.9)),
        "mean_other_tier_prob": float(found.other_tier_prob.mean()),
        "uncertain_tier_share": float((found.other_tier_prob >= UNCERTAIN).mean()),
    }
