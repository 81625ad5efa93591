"""The champion of a data folder, and whether pointer, records, ledger and registry agree on it."""

from __future__ import annotations

import sqlalchemy as sa

from assets_tests.worlds.ward.released import Releasable
from assets_tests.worlds.ward.trained import COHORT
from clinical_assets.governance.promotion.promotion import is_recorded
from clinical_assets.governance.promotion.release_record import CHANGES
from clinical_assets.modelling.champion import champion_pointer
from clinical_assets.modelling.champion.champion_pointer import POINTER, Champion
from clinical_assets.modelling.tracking import registry
from clinical_assets.records import schema
from clinical_assets.records.ledger.ledger import Ledger


def last_champion(made: Releasable) -> Champion:
    found = champion_pointer.last(made.settings, COHORT)
    assert found is not None
    return found


def consistent_champion(made: Releasable) -> Champion:
    """The champion, after everything that must agree with the pointer was found to agree."""
    champion = last_champion(made)
    with made.records.read() as connection:
        rows = connection.execute(sa.select(schema.promotions).order_by(schema.promotions.c.ledger_seq)).all()
    assert (rows[-1].id, rows[-1].bundle_digest) == (champion.promotion, champion.digest)
    assert len({row.id for row in rows}) == len(rows)
    entries = [e for e in Ledger(made.records).entries(cohort=COHORT) if e.action in CHANGES]
    assert [(e.seq, e.facts["promotion"]) for e in entries] == [(row.ledger_seq, row.id) for row in rows]
    alias = registry.find_version(made.settings, COHORT, alias="champion")
    assert (None if alias is None else alias.digest) == (None if champion.retired else champion.digest)
    assert champion_pointer.bundle_of(made.settings, champion).digest == champion.digest
    assert Ledger(made.records).verify().intact
    left = {path.name for path in (made.settings.serving / COHORT).iterdir()} - {".lock", ".lock.holder"}
    assert left == {POINTER}
    assert is_recorded(made.settings, champion)
    return champion
