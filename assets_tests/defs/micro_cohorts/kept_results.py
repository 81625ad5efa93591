"""The checks of micro-cohorts, and what a ward keeps of its scores and its study, as the next asset reads it."""

from __future__ import annotations

from typing import Any

from assets_tests.worlds.team.paired import COHORT, Ward
from clinical_assets.definitions import load as load_definitions
from clinical_assets.defs.micro_cohorts.micro_cohort import micro_cohort
from clinical_assets.pathways.results import expression_store

GROUP = {"paired_expression", "gene_sets", "pathway_scores", "micro_cohort_study", "ablation_report"}
#: Checks of the whole group; a computation may give several checks of other groups.
CHECKS = [
    check
    for check in load_definitions().asset_checks or ()
    if {key.asset_key.to_user_string() for key in check.check_keys} <= GROUP
]


def kept_digests(ward: Ward) -> dict[str, str]:
    _, expression = expression_store.read_kept_expression(ward.files)
    _, sets = expression_store.read_kept_gene_sets(ward.files, expression=expression)
    return {"expression": expression, "gene_sets": sets}


def kept_study(ward: Ward) -> tuple[Any, Any]:
    cohort = ward.platform.cohort(COHORT)
    handle = micro_cohort(ward.platform, cohort.name)
    scored = handle.scored()
    return handle.studied(scored)[0], (handle, scored)
