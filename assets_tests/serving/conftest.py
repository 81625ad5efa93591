"""A promoted model and the application around it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from assets_tests.worlds.ward.released import Releasable, second_release
from assets_tests.worlds.ward.trained import COHORT
from clinical_assets.serving.service import PredictionService
from clinical_assets.serving.web.app import make_app
from clinical_assets.workspace import Workspace

Client = Callable[..., AbstractAsyncContextManager[httpx.AsyncClient]]


@pytest.fixture(scope="session")
def released_once(tmp_path_factory: pytest.TempPathFactory) -> Releasable:
    """A ward whose first model serves; look, do not touch."""
    return second_release(tmp_path_factory)


@pytest.fixture
def released(released_once: Releasable, tmp_path: Path) -> Releasable:
    """The same in a folder of the test's own."""
    return released_once.copy_to(tmp_path / "released")


@pytest.fixture
def workspace(released: Releasable) -> Workspace:
    """The installation."""
    return Workspace(released.settings, released.trained.catalogue)


@pytest.fixture
def service(workspace: Workspace) -> Iterator[PredictionService]:
    """A service that was started."""
    made = PredictionService(workspace)
    made.start()
    yield made
    made.stop()


@pytest.fixture
def client(service: PredictionService) -> Client:
    """Opens a client of the application, without a network between them."""

    @asynccontextmanager
    async def opened(**options: Any) -> AsyncIterator[httpx.AsyncClient]:
        transport = httpx.ASGITransport(make_app(service, **options), raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as made:
            yield made

    return opened


def record(**changes: Any) -> dict[str, Any]:
    """A patient of the ward as a caller sends one."""
    return {
        "patient_id": "X00001",
        "age_years": 54,
        "sex": "f",
        "region": "north",
        "height_m": 1.7,
        "marker_a": 1.0,
        "marker_b": 0.2,
        "frail": False,
        "visits": [{"visit_number": 1}],
        **changes,
    }


def path_of(what: str) -> str:
    """The address of something of the ward."""
    return f"/v1/cohorts/{COHORT}/{what}"
