"""Hostile files in an inbox, all at once beside good ones: good ones are taken in, the others refused."""

from __future__ import annotations

import os
from pathlib import Path

from assets_tests.campaign.counting import Count
from assets_tests.campaign.kills import complete, deliver_one, environment
from assets_tests.worlds.machine.commands import SOUND, Installation
from clinical_assets.defs.resources import Platform
from clinical_assets.sources import inbox

_FILES = {
    b"x" * 251 + b".csv": b"patient_id\n1\n",
    b"st\xe4tion.csv": b"patient_id\n1\n",
    b"a\nb.csv": b"\x00\x01\x02",
    b"empty.csv": b"",
    b"quote.csv": b'patient_id,x\n1,"never closed\n',
    b"\xf0\x9f\x92\xa3.jsonl": b"{",
    b"broken.csv.gz": b"\x1f\x8b\x08\x00",
    b"broken.parquet": b"PAR1PAR1",
}
GOOD = 3


def deliver(count: Count, folder: Path) -> None:
    """Three rounds: the same names come again, when their places in ``refused/`` are taken."""
    place = Installation(folder)
    target = place.data / "inbox" / SOUND
    target.mkdir(parents=True)
    for sent in range(1, GOOD + 1):
        for name, content in _FILES.items():
            (target / os.fsdecode(name)).write_bytes(content)
        deliver_one(target, sent)

        def trial(sent: int = sent) -> str | None:
            complete(place, "materialize", SOUND, "--job", "monitor_cohort")
            with environment(place):
                cohort = Platform().cohort(SOUND)
                left = inbox.waiting(cohort.settings, SOUND)
                rows = cohort.warehouse.query("SELECT count(*) FROM received.subjects").item()
                entered = len(cohort.ledger.entries(action="batch", cohort=SOUND))
            if left or (rows, entered) != (sent, sent):
                return f"{left} files lie in the inbox, {rows} of {sent} good records taken in, {entered} entered"
            return None

        count.trial(f"rounds of {len(_FILES)} hostile files beside a good one", trial)
