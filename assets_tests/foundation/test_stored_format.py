"""The version of stored documents: an absent one is the first, a newer one is refused by every reader."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clinical_assets.foundation.settings import Settings
from clinical_assets.foundation.stored_format import FIELD, NewerFormat, VersionedDocument, format_of
from clinical_assets.governance.promotion import champion_switch
from clinical_assets.modelling.champion import champion_pointer
from clinical_assets.modelling.champion.champion_pointer import Champion
from clinical_assets.modelling.leakage.leak import Leak
from clinical_assets.modelling.trainings import trainings
from clinical_assets.monitoring import report_store
from clinical_assets.pathways.results import study_store

WARD = "a_ward"


class _Numbers(VersionedDocument):
    one: int | float | None
    many: dict[str, float]


CHAMPION = Champion(cohort=WARD, digest="sha256:" + "1" * 64, since="now", by="ann", previous=(), promotion="id")


@given(st.integers(1, 9), st.integers(1, 9))
def test_versions_up_to_the_newest_are_read(found: int, newest: int) -> None:
    if found <= newest:
        assert format_of({FIELD: found}, newest=newest, where="it") == found
    else:
        with pytest.raises(NewerFormat, match=f"format {found}"):
            format_of({FIELD: found}, newest=newest, where="it")


@pytest.mark.parametrize("found", [0, -1, "1", 1.0, True, None])
def test_what_is_no_version_is_refused(found: object) -> None:
    with pytest.raises(NewerFormat):
        format_of({FIELD: found}, newest=3, where="it")


def _pointer(settings: Settings) -> tuple[Path, Callable[[], object]]:
    champion_pointer.switch(settings, CHAMPION)
    return champion_pointer.serving_folder(settings, WARD) / champion_pointer.POINTER, lambda: champion_pointer.current(
        settings, WARD
    )


def _journal(settings: Settings) -> tuple[Path, Callable[[], object]]:
    path = champion_pointer.serving_folder(settings, WARD) / champion_pointer.JOURNAL
    champion_switch.ChampionChange(
        kind="promotion", champion=CHAMPION, before=None, dossier_digest=None, reason=None, signatures=()
    ).write(path)
    return path, lambda: champion_switch.recover(settings, WARD)


def _report(settings: Settings) -> tuple[Path, Callable[[], object]]:
    content = {"verdict": "green", "summary": "A sentence.", "bundle_digest": "sha256:a"}
    report_store.keep(settings, WARD, "drift_report", content)
    path = report_store.folder_of(settings, WARD) / "drift_report" / "latest.json"
    return path, lambda: report_store.latest(settings, WARD, "drift_report")


def _refused_training(settings: Settings) -> tuple[Path, Callable[[], object]]:
    trainings.keep_refusal(settings, WARD, message="No.", leaks=[], run_id="a run")
    path = trainings.models_folder(settings, WARD) / "latest.json"
    return path, lambda: trainings.latest_pointer(settings, WARD)


def _ablation(settings: Settings) -> tuple[Path, Callable[[], object]]:
    path = study_store.keep_ablations(settings.data, [], study="sha256:study").path
    return path, lambda: study_store.read_kept(path, asset="ablation_report")


@pytest.mark.parametrize("document", [_pointer, _journal, _report, _refused_training, _ablation])
def test_documents_carry_their_version_are_read_without_one_and_refused_with_a_newer(
    document: Callable[[Settings], tuple[Path, Callable[[], object]]], settings: Settings
) -> None:
    settings.data.mkdir(parents=True)
    path, read = document(settings)
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    assert content.pop(FIELD) == 1
    path.write_text(json.dumps({**content, FIELD: 9}), encoding="utf-8")
    with pytest.raises(NewerFormat, match="format 9"):
        read()
    path.write_text(json.dumps(content), encoding="utf-8")
    assert read() is not None


def test_a_champion_and_its_change_are_written_as_ever(tmp_path: Path) -> None:
    pointer = (
        '{\n "format": 1,\n "cohort": "a_ward",\n "digest": "sha256:'
        + "1" * 64
        + '",\n "since": "now",\n "by": "ann",\n'
        ' "previous": [],\n "promotion": "id"\n}\n'
    )
    assert CHAMPION.write(tmp_path / "champion.json").read_text(encoding="utf-8") == pointer
    change = champion_switch.ChampionChange(
        kind="rollback",
        champion=CHAMPION,
        before="b",
        dossier_digest=None,
        reason="Wärme",
        signatures=("one",),
        plan_digest=None,
        policy_digest=None,
        rests_on={"by": "ann"},
    )
    assert change.write(tmp_path / "journal.json").read_text(encoding="utf-8") == (
        '{\n "format": 1,\n "kind": "rollback",\n "champion": '
        + pointer.rstrip().replace("\n", "\n ")
        + ',\n "before": "b",\n "dossier_digest": null,\n "reason": "Wärme",\n "signatures": [\n  "one"\n ],\n'
        ' "plan_digest": null,\n "policy_digest": null,\n "rests_on": {\n  "by": "ann"\n }\n}\n'
    )
    assert champion_switch.ChampionChange.read(tmp_path / "journal.json") == change


def test_a_refusal_is_written_as_ever(settings: Settings) -> None:
    leak = Leak("late", "separation", "AUROC 1.00 über 12 rows", float("nan"), "refuse", "Take it out.")
    trainings.keep_refusal(settings, WARD, message="No.", leaks=[leak, replace(leak, value=3)], run_id="a run")
    path = trainings.models_folder(settings, WARD) / "latest.json"
    text = path.read_text(encoding="utf-8")
    row = (
        '  {\n   "column": "late",\n   "kind": "separation",\n   "evidence": "AUROC 1.00 über 12 rows",\n'
        '   "value": null,\n   "action": "refuse",\n   "cure": "Take it out."\n  }'
    )
    assert text == (
        f'{{\n "format": 1,\n "refused": "No.",\n "leakage": [\n{row},\n{row.replace("null", "3")}\n ],\n'
        f' "run_id": "a run",\n "written_at": "{json.loads(text)["written_at"]}"\n}}\n'
    )


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_a_number_that_json_lacks_is_refused_and_not_written_as_nothing(number: float, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="JSON"):
        _Numbers(one=number, many={"a": number}).write(tmp_path / "numbers.json")
    assert list(tmp_path.iterdir()) == []
