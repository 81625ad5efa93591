"""The explorer's page follows its controls; where Streamlit is not installed the command says so."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from assets_tests.worlds.ward.trained import COHORT, Trained
from clinical_assets.cli.operations import explore as command
from clinical_assets.foundation.settings import CATALOGUE, DATA
from clinical_assets.observability import explorer

PAGE = Path(explorer.__file__).with_name("page.py")


@pytest.fixture
def here(trained: Trained, monkeypatch: pytest.MonkeyPatch) -> Trained:
    monkeypatch.setenv(DATA, str(trained.settings.data))
    monkeypatch.setenv(CATALOGUE, str(trained.settings.catalogue[0]))
    return trained


def test_moving_the_threshold_and_the_group_changes_the_numbers(here: Trained, monkeypatch: pytest.MonkeyPatch) -> None:
    testing = pytest.importorskip("streamlit.testing.v1")
    monkeypatch.setattr("sys.argv", ["page.py", COHORT])
    page = testing.AppTest.from_file(str(PAGE), default_timeout=60).run()
    assert not page.exception
    assert any("SYNTHETIC" in each.value for each in page.warning) == here.candidate().spec.synthetic
    assert "holdout is not shown" in page.caption[0].value
    before = page.table[0].value["value (95 % interval)"].tolist()
    page.slider[0].set_value(0.6).run()
    moved = page.table[0].value["value (95 % interval)"].tolist()
    assert moved[0] == before[0]  # the ranks are the same
    assert moved[4] != before[4]
    page.selectbox[0].set_value(page.selectbox[0].options[1]).run()
    assert page.subheader[0].value.startswith(page.selectbox[0].options[1])
    assert page.table[0].value["value (95 % interval)"].tolist()[0] != before[0]


@pytest.mark.skipif(importlib.util.find_spec("streamlit") is not None, reason="Streamlit is installed")
def test_without_streamlit_the_command_names_the_extra(here: Trained) -> None:
    with pytest.raises(command.ExplorerMissing) as caught:
        command.explore(COHORT)
    assert "clinical-assets[explore]" in str(caught.value.cure)
