"""A promoted model and the application around it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from assets_tests.worlds.ward.released import Releasable, second_release
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
