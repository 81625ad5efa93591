"""A released ward with somebody who may ask its model, and a person at its pages."""

from __future__ import annotations

import asyncio
import html
import re
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from assets_tests.worlds.shared import shared_folder
from assets_tests.worlds.ward.released import ROOT, Releasable, administrator, second_release, secret
from assets_tests.worlds.ward.trained import opened
from clinical_assets.governance.signing.people import add_person
from clinical_assets.serving.access.rates import Rates
from clinical_assets.serving.pages.app import Pages, make_pages
from clinical_assets.serving.service import PredictionService
from clinical_assets.serving.web.app import make_app

NURSE, OTHER_NURSE, BASE = "nina", "noah", "/pages"
PATIENT = {
    "record.patient_id": "X00001",
    "record.age_years": "54",
    "record.sex": "f",
    "record.region": "north",
    "record.height_m": "1.7",
    "record.marker_a": "1.0",
    "record.marker_b": "0.2",
    "record.frail": "false",
    "rows.visits": "1",
    "visits.0.visit_number": "1",
}


class Browser:
    """Somebody at the pages: keeps cookies, and sends back what a form holds."""

    def __init__(self, http: httpx.AsyncClient) -> None:
        self.http, self.page = http, ""

    async def open(self, path: str, **options: Any) -> httpx.Response:
        return self._kept(await self.http.get(BASE + path, **options))

    async def send(self, path: str, fields: dict[str, str] | None = None, **options: Any) -> httpx.Response:
        data = {"form": self.hidden("form"), **(fields or {})}
        return self._kept(await self.http.post(BASE + path, data=data, **options))

    async def sign_in(self, login: str = NURSE, password: str | None = None) -> httpx.Response:
        await self.open("/sign-in")
        fields = {"login": login, "password": password or secret(login), "back": "/"}
        return await self.send("/sign-in", fields)

    def hidden(self, name: str) -> str:
        found = re.search(rf'name="{name}" value="([^"]*)"', self.page)
        return html.unescape(found[1]) if found else ""

    def _kept(self, response: httpx.Response) -> httpx.Response:
        self.page = response.text
        return response


Visit = Callable[..., Any]


@pytest.fixture(scope="session")
def released_once(tmp_path_factory: pytest.TempPathFactory) -> Releasable:
    """A ward whose first model serves, with two nurses who may ask it; look, do not touch."""

    def make(folder: Path) -> None:
        made = second_release(tmp_path_factory).copy_to(folder)
        by = administrator(made.records)
        for login in (NURSE, OTHER_NURSE):
            add_person(
                made.records,
                login=login,
                printed_name=f"{login.capitalize()} Nurse",
                roles=["clinician"],
                password=secret(login),
                actor=ROOT,
                by=by,
            )

    return Releasable(opened(shared_folder(tmp_path_factory, "pages_ward", make)))


@pytest.fixture
def pages(service: PredictionService) -> Pages:
    """The pages of the ward."""
    return make_pages(service, secure=False)


@pytest.fixture
def visit(service: PredictionService, pages: Pages) -> Visit:
    """Lets a coroutine be somebody at the pages; several of them share the server, not the cookies."""

    def run(
        what: Callable[..., Awaitable[Any]], *, people: int = 1, shown: Pages = pages, base: str = "http://localhost"
    ) -> Any:
        transport = httpx.ASGITransport(make_app(service, parts=[shown]), raise_app_exceptions=False)

        async def opened_for() -> Any:
            made = [httpx.AsyncClient(transport=transport, base_url=base) for _ in range(people)]
            try:
                return await what(*(Browser(http) for http in made))
            finally:
                for http in made:
                    await http.aclose()

        return asyncio.run(opened_for())

    return run


def few_tries() -> Rates:
    """Three refused attempts per address."""
    return Rates(tries="3/minute")
