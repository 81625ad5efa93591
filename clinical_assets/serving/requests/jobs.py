"""Large files that are scored in the background: brought into the inbox whole, and found again by their content.

A job is a folder of the inbox, so that its records make a batch of their own and are taken in, scored and reported like
any other delivery. What became of it is asked of the inbox and of the warehouse, never of a note that could be wrong.

What belongs here: a job's document, its delivery, its state and its scores. What does not: HTTP, and scoring.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from clinical_assets.cohorts.spec import CohortSpec
from clinical_assets.foundation.errors import ClinicalAssetsError
from clinical_assets.foundation.settings import Settings
from clinical_assets.foundation.stored_format import VersionedDocument
from clinical_assets.records.clock import utc_now
from clinical_assets.records.prediction_log.segments import log_folder
from clinical_assets.serving.requests.findings import RequestFinding, RequestRefused
from clinical_assets.sources.inbox import REFUSED
from clinical_assets.sources.readers import ENDINGS, ending_of
from clinical_assets.warehouse.outcomes.received_tables import BATCH, BATCHES, FILES, SCORED, columns_of, has_table
from clinical_assets.warehouse.store.sql_text import literal, quoted
from clinical_assets.warehouse.store.warehouse import Warehouse

#: Jobs of a cohort that may wait at once: more of them, and nobody takes them in.
MOST_WAITING = 50
_ID = re.compile(r"[0-9a-f]{32}")
#: Columns of scores for everybody who may predict, and those for whoever may see the risk.
_PLAIN, _RISK = (
    ("is_alert", "tier", "decided_class", "bundle_digest"),
    ("risk", "risk_low", "risk_high", "other_tier_prob"),
)


class UnknownJob(ClinicalAssetsError):
    """A job that this caller did not send."""


class JobsWaiting(ClinicalAssetsError):
    """Too many jobs wait: nobody takes them in."""


class NotScored(ClinicalAssetsError):
    """A job whose scores are asked for before there are any."""


class StoredJob(VersionedDocument):
    """A job as it was sent.

    Attributes
    ----------
    key : str
        Id of the key of whoever sent it; nobody else is told of it.
    files : dict
        Table to SHA-256 of its file.
    """

    id: str
    cohort: str
    key: str
    request: str
    submitted_at: str
    files: dict[str, str]


@dataclass(frozen=True)
class JobState:
    """What became of a job.

    Attributes
    ----------
    state : str
        ``waiting`` in the inbox, ``received`` and not scored yet, ``scored``, ``refused`` as a whole, or ``lost`` where
        neither inbox nor warehouse know its files.
    records, refused_records : int or None
        Records taken in, and records of all tables that were refused; None before it was taken in.
    reason, cure : str or None
        Of a refusal.
    """

    state: Literal["waiting", "received", "scored", "refused", "lost"]
    records: int | None = None
    refused_records: int | None = None
    reason: str | None = None
    cure: str | None = None


@dataclass(frozen=True)
class SentFile:
    """A file of a job as it was received: where it lies, and the name that the caller gave it."""

    path: Path
    name: str


class Jobs:
    """Jobs of one cohort.

    Parameters
    ----------
    settings : Settings
        Where inbox and warehouse lie.
    spec : CohortSpec
        The cohort's description.
    """

    def __init__(self, settings: Settings, spec: CohortSpec) -> None:
        self.settings, self.spec = settings, spec
        self._inbox = settings.inbox / spec.name
        self._documents = log_folder(settings, spec.name) / "jobs"

    def refuse_when_too_many_wait(self) -> None:
        """Raise JobsWaiting where the inbox holds as many jobs as may wait."""
        if sum(1 for _ in self._inbox.glob("job-*")) >= MOST_WAITING:
            raise JobsWaiting(
                f"{MOST_WAITING} jobs of this cohort wait.", cure="Ask again later; the operator runs Dagster's daemon."
            )

    def submit(self, files: Mapping[str, SentFile], *, work: Path, key: str, request: str) -> StoredJob:
        """Deliver the files of a job, whole or not at all.

        Parameters
        ----------
        files : mapping
            Table to its file, below `work`.
        work : Path
            A folder on the disk of the data folder; a folder in it becomes the delivery.
        key, request : str
            Ids of the caller's key and of the request.

        Raises
        ------
        RequestRefused
            A table has no file, there is none of a name, or a file has an ending that no reader is for.
        """
        self._refuse_wrong(files)
        job = secrets.token_hex(16)
        folder = work / f"job-{job}"
        folder.mkdir()
        digests = {}
        for table, sent in files.items():
            with sent.path.open("rb") as content:
                digests[table] = hashlib.file_digest(content, "sha256").hexdigest()
                os.fsync(content.fileno())
            # Under the table's name: the caller's stays outside.
            sent.path.rename(folder / f"{table}{ending_of(sent.name)}")
        made = StoredJob(id=job, cohort=self.spec.name, key=key, request=request, submitted_at=utc_now(), files=digests)
        self._documents.mkdir(parents=True, exist_ok=True)
        # The document first: a delivery that nobody knows would be scored for nobody.
        made.write(self._documents / f"{job}.json")
        self._inbox.mkdir(parents=True, exist_ok=True)
        folder.rename(self._inbox / folder.name)
        return made

    def find(self, job: str, *, key: str) -> StoredJob:
        """A job that this caller sent; raises UnknownJob for another's as for none."""
        path = self._documents / f"{job}.json"
        found = StoredJob.read(path) if _ID.fullmatch(job) and path.exists() else None
        if found is None or found.key != key:
            raise UnknownJob("You sent no job of this id.", cure="Its id stands in the answer to POST.")
        return found

    def state(self, job: StoredJob) -> JobState:
        """What became of a job; WarehouseError while somebody writes for longer than readers wait."""
        batch = self._batch(job)
        if batch is not None:
            _, rows, refused, scored = batch
            return JobState("scored" if scored else "received", rows, refused)
        if (self._inbox / f"job-{job.id}").exists():
            return JobState("waiting")
        for report in sorted((self._inbox / REFUSED).glob(f"*job-{job.id}*.report.json")):
            told = json.loads(report.read_text(encoding="utf-8"))
            return JobState("refused", reason=str(told["reason"]), cure=told.get("cure"))
        return JobState("lost", cure="Send the files again.")

    def write_scores(self, job: StoredJob, path: Path, *, with_risk: bool) -> None:
        """Write the newest scores of a job's records as CSV: key, tier, alert, model; the risk where it may be seen.

        Raises
        ------
        NotScored
            There are none yet.
        """
        batch = self._batch(job)
        if batch is None or not batch[3]:
            raise NotScored("This job has no scores yet.", cure="Ask for its state.")
        wanted = [*self.spec.key, *(_RISK if with_risk else ()), *_PLAIN]
        with Warehouse(self.spec.name, self.settings).reader() as connection:
            there = columns_of(connection, SCORED)
            columns = ", ".join(quoted(name) for name in wanted if name in there)
            newest = f"QUALIFY scored_at = max(scored_at) OVER () ORDER BY {', '.join(map(quoted, self.spec.key))}"
            rows = connection.execute(f"SELECT {columns} FROM {SCORED} WHERE {BATCH} = {literal(batch[0])} {newest}")
            _write_csv(rows.to_arrow_reader(10_000), path)

    def _batch(self, job: StoredJob) -> tuple[str, int, int, bool] | None:
        """Name, records, refused records of the batch that holds all of a job's files, and whether it was scored."""
        warehouse = Warehouse(self.spec.name, self.settings)
        if not warehouse.exists():
            return None
        files = ", ".join(map(literal, job.files.items()))
        with warehouse.reader() as connection:
            if not has_table(connection, *FILES.split(".")):
                return None
            found = connection.execute(
                f"SELECT {BATCH}, rows, refused_rows FROM {FILES} JOIN {BATCHES} USING ({BATCH}) "
                f"WHERE (table_name, sha256) IN ({files}) GROUP BY ALL "
                f"HAVING count(DISTINCT (table_name, sha256)) = {len(job.files)} ORDER BY {BATCH} LIMIT 1"
            ).fetchone()
            if found is None:
                return None
            scored = (
                has_table(connection, *SCORED.split("."))
                and connection.execute(f"SELECT count(*) FROM {SCORED} WHERE {BATCH} = {literal(found[0])}").fetchone()
            )
        return str(found[0]), int(found[1]), int(found[2]), bool(scored and scored[0])

    def _refuse_wrong(self, files: Mapping[str, SentFile]) -> None:
        findings = [
            RequestFinding(f"/{name}", "null", "the job has no file for this table", "Send a file under this name.")
            for name in self.spec.tables
            if name not in files
        ]
        for name, sent in files.items():
            if name not in self.spec.tables:
                known = ", ".join(self.spec.tables)
                findings.append(
                    RequestFinding("", "table", "a file is for no table", f"Name each by its table: {known}.")
                )
            elif ending_of(sent.name) is None:
                known = ", ".join(sorted(ENDINGS))
                cure = f"Give it a name that ends with one of {known}."
                findings.append(RequestFinding(f"/{name}", "type", "no reader is for this file", cure))
        if findings:
            raise RequestRefused(findings)


def _write_csv(reader: object, path: Path) -> None:
    import pyarrow as pa
    import pyarrow.csv

    assert isinstance(reader, pa.RecordBatchReader)
    with pyarrow.csv.CSVWriter(path, reader.schema) as writer:
        for batch in reader:
            writer.write_batch(batch)
