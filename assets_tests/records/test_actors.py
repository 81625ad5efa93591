"""Who acts, and when."""

from __future__ import annotations

import dataclasses
import datetime as dt
import os
import pwd

import pytest

from clinical_assets.foundation.settings import Settings
from clinical_assets.records import clock
from clinical_assets.records.actors import current_actor


def test_the_settings_name_the_actor_before_the_operating_system_does(settings: Settings) -> None:
    assert current_actor(dataclasses.replace(settings, actor="automation:nightly")) == "automation:nightly"
    assert current_actor(settings) == pwd.getpwuid(os.getuid()).pw_name


def test_a_variable_of_the_shell_does_not_change_the_account(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("USER", "LOGNAME", "USERNAME"):
        monkeypatch.setenv(name, "eve")
    assert current_actor(settings) != "eve"


def test_an_account_without_a_name_has_its_number(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "getuid", lambda: 4_000_000_123)
    assert current_actor(settings) == "uid-4000000123"


def test_times_are_utc_have_one_width_and_sort_as_texts() -> None:
    before = dt.datetime.now(dt.UTC)
    texts = [clock.utc_now() for _ in range(50)]
    assert texts == sorted(texts)
    assert {len(text) for text in texts} == {32}
    assert before <= clock.parse(texts[0]) <= dt.datetime.now(dt.UTC)


def test_a_time_without_an_offset_is_refused() -> None:
    with pytest.raises(ValueError, match="offset"):
        clock.parse("2026-01-01T00:00:00")
