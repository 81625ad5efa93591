"""Card, release dossier, monitoring and the page of all cohorts lead to one another by relative links.

What belongs here: writing again what shows the others after one of them changed. What does not: what a page says. The
dossier is sealed and links to fixed places; its copy of the card has no links, so that its digest hangs on no place.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from clinical_assets.modelling.champion import champion_pointer
from clinical_assets.modelling.trainings import trainings
from clinical_assets.modelling.trainings.card_files import link_card
from clinical_assets.monitoring import report_store
from clinical_assets.monitoring.pages import write_cohort_page
from clinical_assets.observability.portfolio import INDEX, portfolio, write_portfolio
from clinical_assets.workspace import CohortHandle


@dataclass(frozen=True)
class LinkedPages:
    """The page of one cohort's monitoring, and the page of all cohorts."""

    monitoring: Path
    all_cohorts: Path


def refresh_pages(cohort: CohortHandle) -> LinkedPages:
    """Write both pages of a cohort again, and give the newest training's card links to what there is to read.

    Parameters
    ----------
    cohort : CohortHandle
        Whose card, dossier or reports changed.
    """
    settings, name = cohort.settings, cohort.name
    monitoring = report_store.folder_of(settings, name) / INDEX
    champion = champion_pointer.current(settings, name)
    digest = None if champion is None else champion.digest
    if not monitoring.exists():  # so that its line in the page of all cohorts leads to it
        write_cohort_page(settings, cohort.spec, champion=digest)
    lines = portfolio(cohort.workspace)
    links = next((dict(each.links) for each in lines if each.cohort == name), {})
    links.pop("monitoring", None)
    write_cohort_page(settings, cohort.spec, champion=digest, links=links)
    everybody = write_portfolio(cohort.workspace, lines)
    newest = trainings.latest_pointer(settings, name)
    if newest is not None and newest.refused is None and "card" in links:
        card = links.pop("card")
        link_card(card, {**links, "monitoring": monitoring, "all cohorts": everybody})
    return LinkedPages(monitoring, everybody)
