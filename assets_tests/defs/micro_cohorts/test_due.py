"""A micro-cohort of which nothing changed has nothing to do; whatever a stage reads makes it due."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace

import pytest

from assets_tests.defs.micro_cohorts.test_micro_cohorts import ASSETS
from assets_tests.worlds.team.paired import COHORT, JOB, Ward
from clinical_assets.defs.micro_cohorts import micro_cohort
from clinical_assets.defs.shared.made_from import MADE_FROM, MadeFrom
from clinical_assets.launch.due import Due, DueAssets


@pytest.fixture
def due(finished, monkeypatch: pytest.MonkeyPatch) -> Callable[[], Due]:
    """What the command would make of the finished cohort."""
    ward, _ = finished
    monkeypatch.setenv("CLINICAL_ASSETS_DATA", str(ward.folder / "data"))
    monkeypatch.setenv("CLINICAL_ASSETS_CATALOGUE", str(ward.folder / "catalogue"))
    return lambda: DueAssets(ward.instance, JOB).first(COHORT)


def test_nothing_is_due_when_nothing_changed(due: Callable[[], Due]) -> None:
    assert due() == Due()


@pytest.mark.parametrize("part", ["description", "files", "erasures", "libraries"])
def test_whatever_a_stage_reads_makes_it_due(
    due: Callable[[], Due], monkeypatch: pytest.MonkeyPatch, part: str
) -> None:
    now = micro_cohort.paired_parts
    changed = MadeFrom(lambda cohort: {**now(cohort), part: "other"}, lambda _: True)
    for name in ASSETS:
        monkeypatch.setitem(MADE_FROM, name, replace(MADE_FROM[name], made_from=changed))
    found = due()
    assert found.assets == ASSETS
    assert set(found.reasons) == {f"{name}: {part}" for name in ASSETS}


def test_a_file_that_was_touched_a_changed_word_and_a_missing_file_differ(copy: Ward) -> None:
    def parts() -> dict[str, object]:
        return micro_cohort.paired_parts(micro_cohort.micro_cohort(copy.platform, COHORT))

    states = [parts()]
    (matrix,) = (copy.folder / "catalogue").rglob("matrix.csv")
    os.utime(matrix)
    states.append(parts())
    matrix.unlink()
    states.append(parts())
    assert len({str(state["files"]) for state in states}) == 3
    assert all(state["description"] == states[0]["description"] for state in states)
    description = micro_cohort.micro_cohort(copy.platform, COHORT).path
    description.write_text(description.read_text().replace("title: ", "title: New ", 1))
    assert parts()["description"] != states[0]["description"]
