"""Who did it: the account behind a Dagster run, and entries of the audit ledger made in its name."""

from __future__ import annotations

from typing import TYPE_CHECKING

import dagster as dg

from clinical_assets.defs.shared.run_tags import ACTOR_TAG, SENSOR_TAG
from clinical_assets.workspace import CohortHandle

if TYPE_CHECKING:
    from clinical_assets.records.ledger.facts.base import LedgerFacts
    from clinical_assets.records.ledger.ledger import LedgerAction


def actor_of(run: dg.DagsterRun, cohort: CohortHandle) -> str:
    """The account in whose name a run acts.

    The tag wins; a run that a sensor or schedule started is the automation's; any other belongs to the account that
    this process runs under. The web server has no login, so that whoever starts runs there acts as its account.
    """
    from clinical_assets.records.actors import current_actor

    if ACTOR_TAG in run.tags:
        return run.tags[ACTOR_TAG]
    for tag in (SENSOR_TAG, "dagster/schedule_name"):
        if tag in run.tags:
            return f"automation:{run.tags[tag]}"
    return current_actor(cohort.settings)


def record(
    context: dg.AssetExecutionContext,
    cohort: CohortHandle,
    action: LedgerAction,
    *,
    digest: str | None = None,
    reason: str | None = None,
    facts: LedgerFacts,
) -> None:
    """Add an entry about what this run did to the audit ledger. No identifier may stand in `facts`."""
    from clinical_assets.records.ledger.ledger import Ledger

    Ledger(cohort.records).append(
        action,
        actor=actor_of(context.run, cohort),
        cohort=cohort.name,
        digest=digest,
        reason=reason,
        facts=facts.model_copy(update={"run_id": context.run.run_id}),
    )
