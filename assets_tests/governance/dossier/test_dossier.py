"""A dossier is whole, says the same for the same content, cannot be changed unnoticed, and survives being signed."""

from __future__ import annotations

import hashlib
import json
import shutil
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from assets_tests.worlds.ward.dossiers import VERDICTS, beside, crown, judge, sign
from assets_tests.worlds.ward.trained import COHORT, Trained
from clinical_assets.governance.candidate.candidate import ReleaseCandidate
from clinical_assets.governance.dossier import folder as dossier_folder
from clinical_assets.governance.dossier.dossier import write_dossier
from clinical_assets.governance.dossier.folder import DossierError
from clinical_assets.governance.dossier.stored_dossier import load_dossier
from clinical_assets.governance.gates.performance.gate import judge_latency
from clinical_assets.governance.gates.performance.latency import Latency
from clinical_assets.governance.verdicts.verdict import GATES, Verdict
from clinical_assets.records.database import FILE
from clinical_assets.records.errors import RecordsError
from clinical_assets.records.ledger.ledger import Ledger
from clinical_assets.statistics.uncertainty.intervals import Estimate
from clinical_assets.workspace import Workspace

LATER = (Verdict("security", "no_pickle", "fail", "A file of the bundle is a pickle.", n=6),)


@pytest.fixture
def candidate(trained: Trained) -> ReleaseCandidate:
    """A candidate on which every gate was evaluated."""
    found = trained.candidate()
    judge(found)
    return found


def _contents(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def _entries(candidate: ReleaseCandidate) -> list[object]:
    return [each.facts["dossier_digest"] for each in Ledger(candidate.records).entries(action="dossier")]


def test_a_dossier_is_refused_while_a_gate_has_no_verdict_and_the_error_names_gates_and_cure(trained: Trained) -> None:
    with pytest.raises(DossierError) as refused:
        write_dossier(trained.candidate())
    assert all(gate in refused.value.message for gate in GATES)
    assert refused.value.cure == f"clinical-assets gates {COHORT} --evaluate"
    assert not trained.settings.dossiers.exists()


def test_the_folder_is_named_by_the_bundle_and_holds_every_part(candidate: ReleaseCandidate) -> None:
    dossier = write_dossier(candidate)
    settings = candidate.settings
    assert dossier.folder == settings.dossiers / COHORT / candidate.digest.removeprefix("sha256:")[:16]
    parts = ("dossier", "gates", "comparison", "change", "lineage", "origin", "approval", "history", "spec", "results")
    wanted = {"index.html", "model_card.md", "model_card.json", "features.sql", "manifest.json", "run.json"}
    assert wanted | {f"{name}.json" for name in parts} <= set(_contents(dossier.folder))
    assert load_dossier(settings, COHORT, candidate.digest) == dossier


def test_writing_again_changes_nothing_and_enters_nothing(candidate: ReleaseCandidate) -> None:
    first = write_dossier(candidate, actor="ann", run_id="run 1")
    before = _contents(first.folder)
    judge(candidate)  # evaluated again, with the same words
    assert write_dossier(candidate, actor="bob", run_id="run 2") == first
    assert _contents(first.folder) == before
    assert _entries(candidate) == [first.digest]


def test_a_latency_measured_again_asks_for_no_new_signatures(candidate: ReleaseCandidate) -> None:
    digests = []
    for milliseconds in (4.0, 11.0, 400.0):
        slow = Estimate(milliseconds, milliseconds - 1, milliseconds + 1, 300, 300, "made up")
        latency = judge_latency(Latency(slow, {"median_ms": milliseconds}, busy=1.0), most=50)
        judge(candidate, performance=(*VERDICTS["performance"], latency))
        digests.append(write_dossier(candidate).digest)
    assert digests[0] == digests[1]
    assert digests[1] != digests[2]


def test_the_same_content_gives_the_same_digest_at_another_time_under_another_account(
    candidate: ReleaseCandidate,
) -> None:
    first = write_dossier(candidate, actor="ann", run_id="run 1")
    before = _contents(first.folder)
    shutil.rmtree(candidate.settings.dossiers)
    second = write_dossier(candidate, actor="bob", run_id="run 2")
    after = _contents(second.folder)
    assert second.digest == first.digest
    assert before.pop("run.json") != after.pop("run.json")
    assert before == after


def test_times_and_run_ids_stand_in_no_content_file(candidate: ReleaseCandidate) -> None:
    dossier = write_dossier(candidate, actor="somebody-else", run_id="run-of-today")
    contents = _contents(dossier.folder)
    run = json.loads(contents.pop("run.json"))
    for told in (run["written_at"], "run-of-today", "somebody-else", run["gates"]["bias"]["evaluated_at"]):
        assert not [name for name, content in contents.items() if told.encode() in content]


def test_new_verdicts_give_a_new_digest_and_the_older_dossier_is_kept_whole_under_its_own(
    candidate: ReleaseCandidate,
) -> None:
    first = write_dossier(candidate)
    before = _contents(first.folder)
    judge(candidate, security=LATER)
    second = write_dossier(candidate)
    assert second.folder == first.folder
    assert second.digest != first.digest
    kept = dossier_folder.older_place(first.folder, first.digest)
    assert _contents(kept) == before
    assert dossier_folder.verify(kept).digest == first.digest
    assert load_dossier(candidate.settings, COHORT, candidate.digest).digest == second.digest
    assert _entries(candidate) == [first.digest, second.digest]


def test_a_dossier_can_be_followed_by_one_that_says_what_an_older_one_said(candidate: ReleaseCandidate) -> None:
    first = write_dossier(candidate)
    judge(candidate, security=LATER)
    write_dossier(candidate)
    judge(candidate)
    assert write_dossier(candidate).digest == first.digest
    assert len(list(first.folder.parent.glob(f"{first.folder.name}-*"))) == 2
    judge(candidate, security=LATER)
    write_dossier(candidate)
    assert len(list(first.folder.parent.glob(f"{first.folder.name}-*"))) == 3


def test_any_changed_byte_is_noticed_and_the_file_is_named(candidate: ReleaseCandidate) -> None:
    dossier = write_dossier(candidate)
    for name, content in _contents(dossier.folder).items():
        if name == "run.json":
            continue  # outside the digest by design
        path = dossier.folder / name
        for position in {0, len(content) // 3, len(content) // 2, len(content) - 1}:
            changed = bytearray(content)
            changed[position] ^= 1
            path.write_bytes(changed)
            with pytest.raises(DossierError, match=path.name):
                load_dossier(candidate.settings, COHORT, candidate.digest)
        for spoiled in (content + b"\n", content[:-1], b""):
            path.write_bytes(spoiled)
            with pytest.raises(DossierError, match=path.name):
                load_dossier(candidate.settings, COHORT, candidate.digest)
        path.write_bytes(content)
    assert load_dossier(candidate.settings, COHORT, candidate.digest) == dossier


def test_the_page_cannot_show_another_digest_than_the_one_that_is_signed(candidate: ReleaseCandidate) -> None:
    dossier = write_dossier(candidate)
    page = dossier.index.read_text()
    for other in (dossier_folder.PENDING, "sha256:" + "a" * 64):
        for text in (page.replace(dossier.digest, other), page.replace(dossier.digest, other, 1)):
            dossier.index.write_text(text)
            with pytest.raises(DossierError, match=r"index\.html"):
                load_dossier(candidate.settings, COHORT, candidate.digest)


def test_anybody_can_check_the_digest_by_hand(candidate: ReleaseCandidate) -> None:
    dossier = write_dossier(candidate)
    sums = {}
    for name, content in _contents(dossier.folder).items():
        if name not in ("manifest.json", "run.json"):
            zeros = content.replace(dossier.digest.encode(), b"sha256:" + b"0" * 64)
            sums[name] = hashlib.sha256(zeros).hexdigest()
    text = "".join(f"{name} {each}\n" for name, each in sorted(sums.items()))
    assert "sha256:" + hashlib.sha256(text.encode()).hexdigest() == dossier.digest


@pytest.mark.parametrize("spoil", ["added", "missing", "no manifest"])
def test_added_and_missing_files_are_named(candidate: ReleaseCandidate, spoil: str) -> None:
    dossier = write_dossier(candidate)
    name = {"added": "pictures/more.png", "missing": "gates.json", "no manifest": "manifest.json"}[spoil]
    if spoil == "added":
        (dossier.folder / name).write_bytes(b"x")
    else:
        (dossier.folder / name).unlink()
    with pytest.raises(DossierError, match=name):
        load_dossier(candidate.settings, COHORT, candidate.digest)


def test_a_changed_dossier_is_replaced_and_set_aside_when_written_again(candidate: ReleaseCandidate) -> None:
    dossier = write_dossier(candidate)
    (dossier.folder / "gates.json").write_text("[]")
    assert write_dossier(candidate) == dossier
    aside = dossier.folder.with_name(f"{dossier.folder.name}-damaged")
    assert (aside / "gates.json").read_text() == "[]"


def test_the_dossier_of_one_model_does_not_pass_for_that_of_another(candidate: ReleaseCandidate) -> None:
    dossier = write_dossier(candidate)
    other = "sha256:" + "7" * 64
    place = dossier_folder.place_of(candidate.settings, COHORT, other)
    shutil.copytree(dossier.folder, place)
    with pytest.raises(DossierError, match="is the dossier of"):
        load_dossier(candidate.settings, COHORT, other)
    manifest = json.loads((place / "manifest.json").read_text())
    manifest["bundle_digest"] = other  # the one part of the manifest that no file's digest covers
    (place / "manifest.json").write_bytes(dossier_folder.canonical_bytes(manifest))
    with pytest.raises(DossierError, match="is the dossier of"):
        load_dossier(candidate.settings, COHORT, other)


def test_a_writer_that_fails_leaves_the_old_dossier_and_nothing_else(
    candidate: ReleaseCandidate, monkeypatch: pytest.MonkeyPatch
) -> None:
    dossier = write_dossier(candidate)
    judge(candidate, security=LATER)

    def full(*_: object, **__: object) -> str:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(dossier_folder, "seal", full)
    with pytest.raises(OSError, match="No space"):
        write_dossier(candidate)
    assert load_dossier(candidate.settings, COHORT, candidate.digest) == dossier
    assert [path.name for path in dossier.folder.parent.iterdir() if path.is_dir()] == [dossier.folder.name]


def test_writers_side_by_side_make_one_dossier_and_one_entry(candidate: ReleaseCandidate) -> None:
    with ThreadPoolExecutor(3) as pool:
        written = list(pool.map(lambda _: write_dossier(candidate), range(3)))
    assert len(set(written)) == 1
    assert _entries(candidate) == [written[0].digest]


def test_a_digest_that_the_ledger_was_not_told_is_entered_on_the_next_writing(candidate: ReleaseCandidate) -> None:
    settings = replace(candidate.settings, lock_patience_s=0)
    impatient = replace(candidate, handle=Workspace(settings, candidate.catalogue).cohort(candidate.cohort))
    with closing(sqlite3.connect(settings.records / FILE)) as somebody_else:
        somebody_else.execute("BEGIN IMMEDIATE")
        with pytest.raises(RecordsError):
            write_dossier(impatient)
    dossier = load_dossier(settings, COHORT, candidate.digest)
    assert _entries(candidate) == []
    write_dossier(candidate)
    assert _entries(candidate) == [dossier.digest]


def test_signing_and_promoting_do_not_change_the_dossier(candidate: ReleaseCandidate, trained: Trained) -> None:
    dossier = write_dossier(candidate)
    sign(candidate, dossier)
    assert write_dossier(candidate) == dossier
    crown(trained, candidate.bundle)
    assert write_dossier(beside(candidate, trained)) == dossier


def test_a_later_dossier_tells_of_signatures_on_the_one_before_and_stays_the_same(candidate: ReleaseCandidate) -> None:
    first = write_dossier(candidate)
    sign(candidate, first, meaning="Signed before the security gate failed.")
    judge(candidate, security=LATER)
    second = write_dossier(candidate)
    told = json.loads((second.folder / "history.json").read_text())["signatures"]
    assert [(each["dossier"], each["same_model"]) for each in told] == [(first.digest, True)]
    assert "Signed before the security gate failed." in second.index.read_text()
    sign(candidate, second)
    assert write_dossier(candidate) == second


def test_gates_json_has_every_stored_verdict(candidate: ReleaseCandidate) -> None:
    told = json.loads((write_dossier(candidate).folder / "gates.json").read_text())
    assert {each["gate"]: each["outcome"] for each in told} == {
        "data_quality": "insufficient",
        "performance": "pass",
        "bias": "fail",
        "regulatory": "pass",
        "security": "pass",
    }
    for each in told:
        expected = [{**verdict.row(), "evidence": dict(verdict.evidence)} for verdict in VERDICTS[each["gate"]]]
        assert each["verdicts"] == expected


def test_lineage_names_the_recorded_columns_of_every_feature(candidate: ReleaseCandidate) -> None:
    told = json.loads((write_dossier(candidate).folder / "lineage.json").read_text())
    sources = {each["feature"]: each["sources"] for each in told["features"]}
    assert set(sources) == set(candidate.bundle.feature_columns)
    assert sources["age_years"] == ["subjects.age_years"]
    assert not told["changed"]


def test_a_description_changed_after_the_training_is_said_to_be(candidate: ReleaseCandidate) -> None:
    spec = candidate.spec.model_copy(update={"intended_use": "Something else."})
    dossier = write_dossier(replace(candidate, handle=replace(candidate.handle, described=spec)))
    assert "changed after the training" in dossier.index.read_text()
    assert "changed after the training" not in write_dossier(candidate).index.read_text()


def test_the_command_prints_place_and_digest_and_checks_what_lies_there(
    candidate: ReleaseCandidate, capsys: pytest.CaptureFixture[str]
) -> None:
    from clinical_assets.cli.release.dossier import dossier as command

    command(COHORT, bundle=None, check=False, open_path=False, as_json=True)
    written = json.loads(capsys.readouterr().out)
    command(COHORT, bundle=None, check=False, open_path=True, as_json=False)
    page = Path(capsys.readouterr().out.strip())
    command(COHORT, bundle=None, check=True, open_path=False, as_json=False)
    assert "as it was written" in capsys.readouterr().out
    page.write_text("changed")
    with pytest.raises(DossierError):
        command(COHORT, bundle=None, check=True, open_path=False, as_json=False)
    assert written["dossier"]["index"] == str(page)
    assert written["bundle"] == candidate.digest
