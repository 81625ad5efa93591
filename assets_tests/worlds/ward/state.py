"""State of a platform written as its parts write it, without training anything: champion, scores, reports, verdicts."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from assets_tests.worlds.descriptions import minimal
from assets_tests.worlds.ward.results import made_up_results
from clinical_assets.cohorts.registry import Catalogue
from clinical_assets.foundation.settings import CATALOGUE, INBOX_SETTLED, Settings
from clinical_assets.governance.verdicts.verdict import Gate, Outcome, Verdict
from clinical_assets.governance.verdicts.verdict_store import store_verdicts
from clinical_assets.modelling.champion import champion_pointer
from clinical_assets.modelling.champion.champion_pointer import Champion
from clinical_assets.modelling.trainings import trainings
from clinical_assets.monitoring import report_store
from clinical_assets.records.clock import utc_now
from clinical_assets.records.database import RecordsDatabase
from clinical_assets.records.ledger.ledger import Ledger
from clinical_assets.warehouse.store.warehouse import Warehouse

DIGEST, OTHER_DIGEST = "sha256:" + "a" * 64, "sha256:" + "b" * 64
WARD = "made_up_ward"


@dataclass(frozen=True)
class State:
    """A data folder with described cohorts."""

    settings: Settings

    @property
    def catalogue(self) -> Catalogue:
        return Catalogue.from_settings(self.settings)

    @property
    def records(self) -> RecordsDatabase:
        return RecordsDatabase(self.settings)

    @property
    def ledger(self) -> Ledger:
        return Ledger(self.records)

    def describe(self, cohort: str, **changes: Any) -> None:
        value = minimal(name=cohort, **changes)
        (self.settings.catalogue[0] / f"{cohort}.yaml").write_text(yaml.safe_dump(value), encoding="utf-8")

    def promote(self, cohort: str = WARD, *, digest: str = DIGEST, since: str | None = None) -> Champion:
        champion = Champion(
            cohort=cohort, digest=digest, since=since or utc_now(), by="ann", previous=(), promotion="a promotion"
        )
        champion_pointer.switch(self.settings, champion)
        return champion

    def score(self, cohort: str = WARD, *, tiers: dict[str, tuple[int, int]], digest: str = DIGEST) -> None:
        """Scored records by tier: how many, and how many of them alerts; one batch with two refused records."""
        rows = [(tier, number < alerts) for tier, (count, alerts) in tiers.items() for number in range(count)]
        with Warehouse(cohort, self.settings).writer() as connection:
            connection.execute("CREATE SCHEMA IF NOT EXISTS monitoring; CREATE SCHEMA IF NOT EXISTS received")
            connection.execute(
                "CREATE TABLE IF NOT EXISTS monitoring.scored_records "
                "(patient_id VARCHAR, risk DOUBLE, is_alert BOOLEAN, tier VARCHAR, bundle_digest VARCHAR)"
            )
            for number, (tier, alert) in enumerate(rows):
                values = f"'SECRET-{number}', 0.1, {alert}, '{tier}', '{digest}'"
                connection.execute(f"INSERT INTO monitoring.scored_records VALUES ({values})")
            connection.execute(
                "CREATE TABLE IF NOT EXISTS received.batches "
                "(batch VARCHAR, received_at VARCHAR, files VARCHAR, rows BIGINT, refused_rows BIGINT)"
            )
            connection.execute(
                f"INSERT INTO received.batches VALUES ('b{len(rows)}', '{utc_now()}', '[]', {len(rows)}, 2)"
            )

    def report(self, name: report_store.ReportName, verdict: str, cohort: str = WARD, **more: Any) -> None:
        content = {"verdict": verdict, "summary": "SECRET summary", "bundle_digest": DIGEST, "metrics": {}, **more}
        report_store.keep(self.settings, cohort, name, content)

    def train(self, cohort: str = WARD, *, digest: str = DIGEST) -> None:
        """The traces of a training that gates look for."""
        folder = trainings.models_folder(self.settings, cohort)
        report = folder / digest[-8:] / "report"
        report.mkdir(parents=True)
        made_up_results(cohort, digest).write(report / "results.json")
        newest = trainings.LatestTraining(training=digest[-8:], run_id="a run", written_at=utc_now())
        newest.write(folder / "latest.json")

    def judge(self, gate: Gate, outcome: Outcome, cohort: str = WARD, *, digest: str = DIGEST) -> None:
        store_verdicts(
            self.records,
            cohort=cohort,
            bundle_digest=digest,
            gate=gate,
            verdicts=[Verdict(gate, "a criterion[sex=SECRET]", outcome, "Because.")],
            actor="automation:gates",
            run_id=None,
        )

    def drop(self, name: str, cohort: str = WARD, text: str = "patient_id\nSECRET-1\n") -> Path:
        """A file in the inbox, written under another name and renamed."""
        path = self.settings.inbox / cohort / name
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(f".{path.name}")
        part.write_text(text, encoding="utf-8")
        part.rename(path)
        return path


@pytest.fixture
def state(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> State:
    """A platform with one synthetic cohort of a team, described and nothing else; the environment says the same."""
    folder = tmp_path / "catalogue"
    folder.mkdir()
    monkeypatch.setenv(CATALOGUE, str(folder))
    for name in [name for name in os.environ if name.startswith(("CLINICAL_ASSETS_ALERT", "CLINICAL_ASSETS_SENTRY"))]:
        monkeypatch.delenv(name)
    # A file just renamed counts as settled, so that no test has to wait.
    monkeypatch.setenv(INBOX_SETTLED, "0")
    made = State(replace(Settings.from_environment(), lock_patience_s=5.0))
    made.describe(WARD)
    return made
