"""Large files over HTTP: delivered whole to the inbox, scored as any batch, seen by whoever sent them alone."""

from __future__ import annotations

import asyncio
import csv
import io
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import httpx
from starlette.types import Receive, Scope, Send

from assets_tests.serving.conftest import Client
from assets_tests.serving.hospital.sent import Limited
from assets_tests.serving.web.test_app import problem, run
from assets_tests.worlds.ward.api_server import path_of
from assets_tests.worlds.ward.released import Releasable
from assets_tests.worlds.ward.served import new_patients
from assets_tests.worlds.ward.trained import COHORT
from clinical_assets.cohorts.spec import CohortSpec
from clinical_assets.modelling.bundle.batch_scoring import score_batch
from clinical_assets.modelling.champion import champion_pointer
from clinical_assets.serving.access.callers import Caller
from clinical_assets.serving.web.guards import Guards
from clinical_assets.sources.inbox import complete
from clinical_assets.warehouse.intake.batch_intake import batches
from clinical_assets.warehouse.intake.inbox_intake import take_in
from clinical_assets.warehouse.store.warehouse import Warehouse
from clinical_assets.workspace import Workspace


class Keyed(Limited):
    """A door that knows one caller by another key."""

    async def caller(self, scope: Any) -> Caller:
        del scope
        return Caller("k2", self.rights)


def as_csv(rows: list[dict[str, Any]]) -> bytes:
    text = io.StringIO()
    writer = csv.DictWriter(text, [name for name in rows[0] if name != "died"], extrasaction="ignore")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()


def files(n: int = 30, **changes: Any) -> dict[str, Any]:
    subjects, visits = new_patients(n, seed=5)
    sent = {
        "subjects": ("../../patients of ann.csv", as_csv(list(subjects))),
        "visits": ("v.csv", as_csv(list(visits))),
    }
    return {name: each for name, each in (sent | changes).items() if each is not None}


def sent(client: Client, what: dict[str, Any], **options: Any) -> httpx.Response:
    async def call(http: httpx.AsyncClient) -> httpx.Response:
        return await http.post(path_of("jobs"), files=what)

    found: httpx.Response = run(client, call, **options)
    return found


def got(client: Client, path: str, **options: Any) -> httpx.Response:
    async def call(http: httpx.AsyncClient) -> httpx.Response:
        return await http.get(path)

    found: httpx.Response = run(client, call, **options)
    return found


def delivered(spec: CohortSpec, released: Releasable) -> None:
    """Take in what the inbox holds, without waiting for it to settle."""
    at_once = replace(released.settings, inbox_folder_settled_s=0, inbox_settled_s=0)
    assert complete(at_once, COHORT)
    take_in(spec, settings=at_once)


def taken_in(released: Releasable, workspace: Workspace) -> None:
    """What the run does that Dagster's sensor starts."""
    spec = workspace.spec(COHORT)
    delivered(spec, released)
    warehouse, champion = Warehouse(COHORT, released.settings), champion_pointer.current(released.settings, COHORT)
    assert champion is not None
    for batch in batches(warehouse):
        score_batch(warehouse, spec, champion_pointer.bundle_of(released.settings, champion), batch)


def test_a_job_is_a_delivery_of_its_own_and_its_scores_are_those_of_the_batch(
    client: Client, released: Releasable, workspace: Workspace
) -> None:
    answer = sent(client, files())
    assert answer.status_code == 202, answer.text
    place, job = answer.headers["location"], answer.json()["job"]
    assert got(client, place).json()["state"] == "waiting"
    problem(got(client, f"{place}/scores"), 409, "not-scored")
    folder = released.settings.inbox / COHORT / f"job-{job}"
    assert sorted(path.name for path in folder.iterdir()) == ["subjects.csv", "visits.csv"]

    taken_in(released, workspace)
    state = got(client, place).json()
    assert (state["state"], state["records"], state["refused_records"]) == ("scored", 30, 0)
    rows = list(csv.DictReader(io.StringIO(got(client, f"{place}/scores").text)))
    kept = Warehouse(COHORT, released.settings).query(
        "SELECT patient_id, risk, risk_low, tier FROM monitoring.scored_records ORDER BY patient_id"
    )
    assert [row["patient_id"] for row in rows] == kept["patient_id"].to_list()
    assert [float(row["risk"]) for row in rows] == kept["risk"].to_list()
    assert [float(row["risk_low"]) for row in rows] == kept["risk_low"].to_list()
    # The same files again are another job with the same scores.
    again = sent(client, files()).headers["location"]
    assert got(client, again).json()["state"] == "scored"
    # Whoever may not see risks is given none.
    limited = sent(client, files(), door=Limited("predict")).headers["location"]
    shown = got(client, f"{limited}/scores", door=Limited("predict")).text.splitlines()[0]
    assert "tier" in shown
    assert "risk" not in shown


def test_nobody_but_the_sender_learns_of_a_job(client: Client) -> None:
    place = sent(client, files(), door=Limited("predict")).headers["location"]
    assert got(client, place, door=Limited("predict")).status_code == 200
    told = problem(got(client, place, door=Keyed("predict")), 404, "unknown-job")
    none = problem(got(client, f"{place[:-32]}{'0' * 32}", door=Keyed("predict")), 404, "unknown-job")
    assert {**told, "instance": ""} == {**none, "instance": ""}
    problem(got(client, place, door=Limited("stats")), 403, "forbidden")


def test_what_is_no_job_is_refused_and_leaves_nothing_in_the_inbox(client: Client, released: Releasable) -> None:
    refused = problem(sent(client, files(visits=None, other=("o.csv", b"a"))), 422, "refused-values")
    assert {each["pointer"] for each in refused["errors"]} == {"/visits", ""}
    refused = problem(sent(client, files(visits=("v.exe", b"MZ"))), 422, "refused-values")
    assert {each["pointer"] for each in refused["errors"]} == {"/visits"}

    async def other(http: httpx.AsyncClient) -> list[httpx.Response]:
        half = {"Content-Type": "multipart/form-data; boundary=x"}
        return [
            await http.post(path_of("jobs"), json={}),
            await http.post(path_of("jobs"), content=b"--x\r\nnothing", headers=half),
            await http.post(path_of("jobs"), data={"subjects": "a"}, files={"visits": ("v.csv", b"a")}),
        ]

    first, second, third = run(client, other)
    problem(first, 415, "not-multipart")
    assert second.status_code in (400, 422)
    problem(third, 422, "refused-values")
    assert not list((released.settings.inbox / COHORT).glob("job-*"))
    assert not list((released.settings.data / "temporary").glob("*/*"))


def test_a_delivery_that_cannot_be_used_says_why(client: Client, released: Releasable, workspace: Workspace) -> None:
    place = sent(client, files(visits=("v.csv", b"no,such,columns\n1,2,3\n"))).headers["location"]
    delivered(workspace.spec(COHORT), released)
    state = got(client, place).json()
    assert state["state"] == "refused"
    assert state["reason"]


def test_a_job_is_handed_on_piece_by_piece_up_to_its_own_limit() -> None:
    seen: list[int] = []

    async def reads(scope: Scope, receive: Receive, send: Send) -> None:
        while True:
            message = await receive()
            seen.append(len(message.get("body", b"")))
            if not message.get("more_body", False):
                break

    def pieces() -> Iterator[dict[str, Any]]:
        for left in range(9, -1, -1):
            yield {"type": "http.request", "body": b"x" * 1000, "more_body": left > 0}

    async def asked(path: str, **limits: int) -> int:
        coming, status = pieces(), [0]

        async def receive() -> Any:
            return next(coming)

        async def send(message: Any) -> None:
            status[0] = message.get("status", status[0])

        scope = {"type": "http", "method": "POST", "path": path, "headers": [(b"host", b"localhost")]}
        await Guards(reads, hosts=["localhost"], **limits)(scope, receive, send)
        return status[0]

    asyncio.run(asked(path_of("jobs"), max_body=10, max_job=10_000))
    assert seen == [1000] * 10
    seen.clear()
    assert asyncio.run(asked(path_of("jobs"), max_body=10, max_job=4500)) == 413
    assert seen == [1000] * 4
    seen.clear()
    assert asyncio.run(asked(path_of("predict"), max_body=4500, max_job=10_000)) == 413
    assert seen == []
