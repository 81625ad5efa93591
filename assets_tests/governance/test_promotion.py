"""A model serves when nothing stands against it, every reason is found at that moment, and a kill leaves old or new."""

from __future__ import annotations

import datetime as dt
import json
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from assets_tests.governance.released import (
    OPEN,
    Releasable,
    environment,
    first_release,
    flip_a_byte,
    promote_in_another_process,
    put_in_environment,
    second_release,
    write_by_hand,
)
from assets_tests.governance.trained import COHORT
from assets_tests.warehouse.processes import ROOT
from clinical_assets.cohorts.governance import PermittedChange
from clinical_assets.governance import agreed, champions, change, people, promotion
from clinical_assets.governance.champions import JOURNAL, POINTER, Champion
from clinical_assets.governance.change import Change
from clinical_assets.governance.dossier import load_dossier, write_dossier
from clinical_assets.governance.promotion import PromotionRefused, is_recorded, recover, rollback
from clinical_assets.governance.refusal import Refused
from clinical_assets.modelling import mlflow_store, registry
from clinical_assets.records import schema
from clinical_assets.records.ledger import Ledger

Spoil = Callable[[Releasable], object]


@pytest.fixture
def made(tmp_path_factory: pytest.TempPathFactory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Releasable:
    """A first model that nobody has signed."""
    return put_in_environment(first_release(tmp_path_factory).copy_to(tmp_path / "release"), monkeypatch)


@pytest.fixture
def signed(made: Releasable) -> Releasable:
    """A first model with every signature that it needs."""
    made.approve()
    assert made.codes() == []
    return made


@pytest.fixture
def second(tmp_path_factory: pytest.TempPathFactory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Releasable:
    """One model serves, another waits for signatures."""
    return put_in_environment(second_release(tmp_path_factory).copy_to(tmp_path / "release"), monkeypatch)


def serving(made: Releasable) -> Champion:
    found = champions.current(made.settings, COHORT)
    assert found is not None
    return found


def whole(made: Releasable) -> Champion:
    """The champion, after everything that must agree with the pointer was found to agree."""
    champion = serving(made)
    with made.records.read() as connection:
        rows = connection.execute(sa.select(schema.promotions).order_by(schema.promotions.c.ledger_seq)).all()
    assert (rows[-1].id, rows[-1].bundle_digest) == (champion.promotion, champion.digest)
    assert len({row.id for row in rows}) == len(rows)
    entries = [e for e in Ledger(made.records).entries(cohort=COHORT) if e.action in ("promotion", "rollback")]
    assert [(e.seq, e.facts["promotion"]) for e in entries] == [(row.ledger_seq, row.id) for row in rows]
    alias = registry.find_version(made.settings, COHORT, alias="champion")
    assert alias is not None
    assert alias.digest == champion.digest
    assert champions.bundle_of(made.settings, champion).digest == champion.digest
    assert Ledger(made.records).verify().intact
    left = {path.name for path in (made.settings.serving / COHORT).iterdir()} - {".lock"}
    assert left == {POINTER}
    assert is_recorded(made.settings, champion)
    return champion


def _bundle(made: Releasable) -> Path:
    return made.candidate.bundle.folder


def _take_journal_entry(made: Releasable) -> None:
    write_by_hand(made, "UPDATE ledger SET actor = 'mallory' WHERE seq = 3")


def _erase(made: Releasable) -> None:
    Ledger(made.records).append(
        "erasure", actor="root", cohort=COHORT, reason="asked for", facts={"models": [made.candidate.digest]}
    )


def _another_challenger(made: Releasable) -> None:
    store = mlflow_store.client(made.settings)
    store.delete_registered_model_alias(COHORT, registry.CHALLENGER)


def _warm_and_damaged(made: Releasable) -> None:
    flip_a_byte(champions.keep_warm(made.settings, made.candidate.bundle).folder / "features.sql")


def _new_dossier(made: Releasable) -> None:
    made.judge(performance="insufficient", dossier=False)
    made.judge(dossier=False)
    made.trained.describe(title="Another title (synthetic)")
    write_dossier(made.candidate)


# What is done to a model that may be promoted, and what then stands against it.
SPOILED: dict[str, tuple[Spoil, set[str]]] = {
    "a gate failed after signing": (lambda made: made.judge(performance="fail", dossier=False), {"gate_failed"}),
    "a gate cannot judge any more": (lambda made: made.judge(bias="insufficient", dossier=False), {"waiver_missing"}),
    "a verdict was edited": (
        lambda made: write_by_hand(made, "UPDATE verdicts SET value = 0.9 WHERE criterion = 'security_holds'"),
        {"verdicts_changed"},
    ),
    "a gate never ran": (
        lambda made: write_by_hand(
            made,
            "UPDATE ledger SET digest = NULL WHERE action = 'gate_verdict' AND facts LIKE '%\"security\"%'",
            "DELETE FROM verdicts WHERE criterion = 'security_holds'",
            "DELETE FROM gate_runs WHERE gate = 'security'",
        ),
        {"gate_missing", "ledger_broken"},
    ),
    "the dossier was changed": (
        lambda made: flip_a_byte(load_dossier(made.settings, COHORT, made.candidate.digest).index),
        {"dossier_unusable"},
    ),
    "the dossier is gone": (lambda made: shutil.rmtree(made.settings.dossiers), {"dossier_unusable"}),
    "another dossier was written": (_new_dossier, {"unsigned", "other_dossier"}),
    "somebody rejects it": (lambda made: made.reject("carol"), {"rejected"}),
    "the signer turns out to be the author": (
        lambda made: people.set_roles(made.records, "bob", accounts=["ann"], actor="root"),
        {"author_signed"},
    ),
    "a ledger row was edited by hand": (_take_journal_entry, {"ledger_broken"}),
    "the ledger was truncated": (
        lambda made: write_by_hand(made, "DELETE FROM ledger WHERE seq = (SELECT max(seq) FROM ledger)"),
        {"ledger_broken", "signatures_changed"},
    ),
    "a subject was erased": (_erase, {"erased_subjects"}),
    "the challenger is another one": (_another_challenger, {"not_challenger"}),
    "a warm copy is damaged": (_warm_and_damaged, {"bundle_changed"}),
}


class TestBlockers:
    @pytest.mark.parametrize("what", SPOILED)
    def test_whatever_changes_after_signing_is_found_at_the_moment_of_promotion(
        self, signed: Releasable, what: str
    ) -> None:
        spoil, codes = SPOILED[what]
        spoil(signed)
        with pytest.raises(PromotionRefused) as refused:
            signed.promote()
        assert {blocker.code for blocker in refused.value.blockers} == codes
        assert all(blocker.message and blocker.cure for blocker in refused.value.blockers)
        assert all(blocker.message in refused.value.message for blocker in refused.value.blockers)
        assert champions.current(signed.settings, COHORT) is None
        assert registry.find_version(signed.settings, COHORT, alias="champion") is None

    def test_a_flipped_byte_of_the_model_is_found_although_it_was_whole_a_moment_ago(self, signed: Releasable) -> None:
        candidate = signed.candidate
        flip_a_byte(candidate.bundle.folder / "model.onnx")
        with pytest.raises(PromotionRefused) as refused:
            promotion.promote(candidate, actor="release")
        assert [blocker.code for blocker in refused.value.blockers] == ["bundle_changed"]
        assert "model.onnx" in refused.value.message

    def test_an_unsigned_model_is_told_who_is_lacking_and_what_they_type(self, made: Releasable) -> None:
        (blocker,) = promotion.blockers(made.candidate)
        assert blocker.code == "unsigned"
        assert "reviewer" in blocker.message
        assert f"clinical-assets approve {COHORT} --digest {made.dossier_digest}" in blocker.cure

    def test_a_signature_that_ended_counts_no_more(self, made: Releasable) -> None:
        end = dt.datetime.fromisoformat(made.approve().expires_at)
        assert promotion.blockers(made.candidate, now=end - dt.timedelta(seconds=1)) == ()
        found = promotion.blockers(made.candidate, now=end)
        assert [blocker.code for blocker in found] == ["unsigned", "signature_expired"]
        with pytest.raises(PromotionRefused):
            promotion.promote(made.candidate, actor="release", now=end)

    def test_a_waiver_is_of_its_gate_and_criterion_on_this_dossier(self, made: Releasable) -> None:
        made.judge(bias="insufficient", performance="insufficient")
        made.approve()
        made.waive(of=OPEN)
        (blocker,) = promotion.blockers(made.candidate)
        assert (blocker.code, "performance/performance_holds" in blocker.message) == ("waiver_missing", True)

    def test_a_waiver_that_ended_is_told_as_such(self, made: Releasable) -> None:
        made.judge(bias="insufficient")
        end = dt.datetime.fromisoformat(made.waive().expires_at)
        (blocker,) = [each for each in promotion.blockers(made.candidate, now=end) if each.code == "waiver_missing"]
        assert "the waiver of bob ended on" in blocker.message

    def test_promoting_what_serves_is_recorded_anew_when_people_signed_another_plan(self, signed: Releasable) -> None:
        first = signed.promote()
        signed.trained.describe(pccp={"permitted": [{"kind": "refit", "promotes_itself": True}]})
        with pytest.raises(PromotionRefused):
            signed.promote()
        write_dossier(signed.candidate)
        signed.approve()
        again = signed.promote()
        assert whole(signed) == again
        assert (again.digest, again.previous) == (first.digest, first.previous)
        assert signed.promote() == again
        assert agreed.released_under(signed.candidate, again.digest) == agreed.agreed_now(signed.candidate.spec)

    def test_an_older_model_does_not_come_back_by_promotion(self, second: Releasable) -> None:
        old = second.trained.candidate(serving(second).digest)
        assert {"superseded", "not_challenger"} <= {blocker.code for blocker in promotion.blockers(old)}

    def test_all_reasons_are_told_at_once(self, made: Releasable) -> None:
        made.judge(bias="insufficient", performance="fail")
        made.reject("carol")
        assert set(made.codes()) == {"gate_failed", "waiver_missing", "rejected", "unsigned"}

    def test_a_change_that_the_plan_lets_take_effect_needs_gates_but_no_signature(
        self, second: Releasable, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def planned(by_itself: bool) -> None:
            permitted = PermittedChange(kind="refit", promotes_itself=by_itself)
            monkeypatch.setattr(change, "kind_of_change", lambda _: Change("refit", (), permitted, first))

        first = serving(second).digest
        planned(False)
        assert second.codes() == ["unsigned"]
        planned(True)
        assert second.codes() == []
        second.judge(bias="insufficient", dossier=False)
        assert second.codes() == ["waiver_missing"]
        second.judge(dossier=False)
        second.promote()
        rollback(second.settings, COHORT, actor="root", reason="Alarms on the ward.")
        assert "unsigned" in second.codes()

    def test_a_plan_that_was_changed_since_the_champion_was_released_lets_nothing_take_effect_by_itself(
        self, second: Releasable, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        permitted = PermittedChange(kind="refit", promotes_itself=True)
        first = serving(second).digest
        monkeypatch.setattr(change, "kind_of_change", lambda _: Change("refit", (), permitted, first))
        assert second.codes() == []
        second.trained.describe(pccp={"permitted": [permitted.model_dump(mode="json")]})
        assert set(second.codes()) == {"description_changed", "unsigned", "plan_changed"}
        write_dossier(second.candidate)
        assert second.codes() == ["unsigned", "plan_changed"]
        second.approve()
        second.promote()
        (_, entry) = Ledger(second.records).entries(action="promotion")
        plan = entry.facts["plan_digest"]
        assert (agreed.released_under(second.candidate, second.candidate.digest) or ("",))[0] == plan
        assert entry.facts["plan_digest"] == agreed.plan_digest(second.candidate.spec)
        assert (agreed.released_under(second.candidate, first) or ("",))[0] != plan

    @pytest.mark.parametrize(
        "changes",
        [
            {"approval": {"signatures": [{"role": "nurse"}]}},
            {"limits": {"auroc_lower": 0.5}},
            {"intended_use": "Everybody, at any time."},
        ],
    )
    def test_signatures_are_for_the_description_that_the_dossier_shows(
        self, signed: Releasable, changes: dict[str, Any]
    ) -> None:
        signed.trained.describe(**changes)
        assert "description_changed" in signed.codes()


class TestPromotion:
    def test_the_first_champion_serves_is_recorded_and_rests_on_named_signatures(self, signed: Releasable) -> None:
        champion = signed.promote()
        assert whole(signed) == champion
        assert (champion.digest, champion.previous, champion.by) == (signed.candidate.digest, (), "release")
        (entry,) = Ledger(signed.records).entries(action="promotion")
        assert len(entry.facts["signatures"]) == 1
        assert entry.facts["dossier_digest"] == signed.dossier_digest
        assert entry.digest == champion.digest

    def test_promoting_what_serves_changes_nothing(self, signed: Releasable) -> None:
        assert signed.promote() == signed.promote() == whole(signed)
        assert len(Ledger(signed.records).entries(action="promotion")) == 1

    def test_the_next_champion_remembers_the_one_before(self, second: Releasable) -> None:
        first = whole(second)
        second.approve()
        champion = second.promote()
        assert champion.previous == (first.digest,)
        assert whole(second) == champion

    def test_two_promotions_at_once_queue_and_are_one(self, signed: Releasable, tmp_path: Path) -> None:
        with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
            jobs = [pool.submit(promote_in_another_process, str(tmp_path / "release")) for _ in range(2)]
            ended = {job.result() for job in jobs}
        assert ended == {whole(signed).promotion}
        assert len(Ledger(signed.records).entries(action="promotion")) == 1

    def test_a_registry_that_does_not_answer_is_told_later(
        self, signed: Releasable, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with monkeypatch.context() as patch:
            patch.setattr(mlflow_store, "exclusive", _no_registry)
            champion = signed.promote()
            assert serving(signed) == champion
            assert is_recorded(signed.settings, champion)
            told = recover(signed.settings, COHORT)
            assert told is not None
            assert told.outcome == "alias_behind"
        told = recover(signed.settings, COHORT)
        assert told is not None
        assert told.outcome == "completed"
        assert whole(signed) == champion
        assert recover(signed.settings, COHORT) is None


class TestRollback:
    def test_the_champion_before_serves_again_and_old_signatures_do_not_bring_the_other_back(
        self, second: Releasable
    ) -> None:
        first = serving(second)
        second.approve()
        promoted = second.promote()
        back = rollback(second.settings, COHORT, actor="root", reason="Alarms on the ward.")
        assert whole(second) == back
        assert (back.digest, back.previous, back.by) == (first.digest, first.previous, "root")
        (entry,) = Ledger(second.records).entries(action="rollback")
        assert (entry.reason, entry.facts["before"]) == ("Alarms on the ward.", promoted.digest)
        assert second.codes() == ["unsigned", "rolled_back"]
        second.approve("bob")
        again = second.promote()
        assert whole(second) == again
        assert (again.digest, again.previous) == (promoted.digest, (first.digest,))

    def test_without_champion_predecessor_or_reason_it_is_refused(self, made: Releasable) -> None:
        for reason, code in ((" ", "no_reason"), ("Why not.", "nothing_serves")):
            with pytest.raises(Refused) as refused:
                rollback(made.settings, COHORT, actor="root", reason=reason)
            assert refused.value.code == code
        made.approve()
        champion = made.promote()
        with pytest.raises(Refused) as refused:
            rollback(made.settings, COHORT, actor="root", reason="Alarms.")
        assert refused.value.code == "no_previous"
        assert whole(made) == champion

    def test_a_predecessor_that_was_written_into_the_pointer_by_hand_does_not_serve(self, made: Releasable) -> None:
        made.approve()
        champion = made.promote()
        pointer = made.settings.serving / COHORT / "champion.json"
        told = json.loads(pointer.read_text(encoding="utf-8"))
        pointer.write_text(json.dumps({**told, "previous": ["sha256:" + "5" * 64]}), encoding="utf-8")
        with pytest.raises(Refused) as refused:
            rollback(made.settings, COHORT, actor="root", reason="Alarms.")
        assert refused.value.code == "previous_unreleased"
        assert champions.current(made.settings, COHORT).digest == champion.digest  # type: ignore[union-attr]

    def test_a_damaged_predecessor_does_not_serve_and_comes_back_from_the_registry(self, second: Releasable) -> None:
        first = serving(second)
        second.approve()
        champion = second.promote()
        place = champions.warm_place(second.settings, COHORT, first.digest)
        flip_a_byte(place / "model.onnx")
        with pytest.raises(Refused) as refused:
            rollback(second.settings, COHORT, actor="root", reason="Alarms.")
        assert (refused.value.code, "model.onnx" in refused.value.message) == ("previous_damaged", True)
        assert whole(second) == champion
        shutil.rmtree(place)
        assert rollback(second.settings, COHORT, actor="root", reason="Alarms.").digest == first.digest
        assert whole(second).digest == first.digest

    def test_the_pointer_is_switched_and_recorded_before_mlflow_is_imported(self, second: Releasable) -> None:
        second.approve()
        second.promote()
        script = (
            "import sys\n"
            "from clinical_assets.governance import promotion, switching\n"
            "from clinical_assets.governance.champions import current\n"
            "from clinical_assets.settings import Settings\n"
            "settings = Settings.from_environment()\n"
            "def told(champion):\n"
            "    heavy = {'mlflow', 'dagster', 'pandas', 'sklearn', 'duckdb'} & set(sys.modules)\n"
            "    print(sorted(heavy), promotion.is_recorded(settings, current(settings, champion.cohort)))\n"
            "switching._tell_registry = lambda settings, champion: True\n"
            f"promotion.rollback(settings, {COHORT!r}, actor='root', reason='Alarms.', on_recorded=told)\n"
        )
        done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
        assert done.stdout.strip() == "[] True"


def _no_registry(*_: object) -> object:
    raise mlflow_store.RegistryError("The registry is down.")


# Where a process is killed: module, function, and whether before or after it has done its work; and what is then true.
KILLS = {
    "promotion: bundle half copied": ("promote", "shutil.copytree", "after", "old"),
    "promotion: before the intent": ("promote", "champions.write_json", "before", "old"),
    "promotion: after the intent": ("promote", "champions.switch", "before", "old"),
    "promotion: before the registry": ("promote", "switching._tell_registry", "before", "new"),
    "promotion: before the record": ("promote", "switching._record", "before", "new"),
    "promotion: within the record": ("promote", "Ledger.append", "after", "new"),
    "promotion: before the journal goes": ("promote", "champions.remove", "before", "new"),
    "rollback: after the intent": ("rollback", "champions.switch", "before", "old"),
    "rollback: before the record": ("rollback", "switching._record", "before", "new"),
    "rollback: within the record": ("rollback", "Ledger.append", "after", "new"),
    "rollback: before the registry": ("rollback", "switching._tell_registry", "before", "new"),
    "rollback: before the journal goes": ("rollback", "champions.remove", "before", "new"),
}
# One process imports everything and then forks a process for each kill, so that imports are paid once.
_KILLER = """
import json, os, shutil, signal, sys
from pathlib import Path
from typing import Any
from dataclasses import replace
from clinical_assets.cohorts.registry import Catalogue
from clinical_assets.governance import champions, promotion, switching
from clinical_assets.governance.candidate import candidate_of
from clinical_assets.modelling import registry
from clinical_assets.records.ledger import Ledger
from clinical_assets.settings import Settings
registry.find_version(Settings.from_environment(), COHORT, alias="challenger")
places = {"shutil": shutil, "champions": champions, "switching": switching, "Ledger": Ledger}

def die(act, function, when, data, catalogue):
    place, name = function.split(".")
    work = getattr(places[place], name)
    def killed(*arguments, **named):
        if when == "after":
            work(*arguments, **named)
        os.kill(os.getpid(), signal.SIGKILL)
    setattr(places[place], name, killed)
    settings = replace(Settings.from_environment(), data=Path(data), catalogue=(Path(catalogue),))
    if act == "rollback":
        promotion.rollback(settings, COHORT, actor="killed", reason="Alarms.")
    else:
        candidate = candidate_of(COHORT, settings=settings, catalogue=Catalogue.from_settings(settings))
        promotion.promote(candidate, actor="killed")

for task in json.load(sys.stdin):
    child = os.fork()
    if not child:
        try:
            die(*task)
        finally:
            os._exit(1)
    print(os.waitpid(child, 0)[1], flush=True)
"""


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Releasable]:
    """For each kill, a copy of the data folder as the killed process left it."""
    before = second_release(tmp_path_factory).copy_to(tmp_path_factory.mktemp("kills") / "before")
    before.approve()
    after = before.copy_to(tmp_path_factory.mktemp("kills") / "after")
    after.promote()
    folder = tmp_path_factory.mktemp("killed")
    left, tasks = {}, []
    for number, (name, (act, function, when, _)) in enumerate(KILLS.items()):
        left[name] = (before if act == "promote" else after).copy_to(folder / str(number))
        settings = left[name].settings
        tasks.append([act, function, when, str(settings.data), str(settings.catalogue[0])])
    with pytest.MonkeyPatch.context() as patch:
        for variable, value in environment(before).items():
            patch.setenv(variable, value)
        done = subprocess.run(
            [sys.executable, "-c", _KILLER.replace("COHORT", repr(COHORT))],
            input=json.dumps(tasks),
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
        )
    assert [int(line) for line in done.stdout.split()] == [signal.SIGKILL] * len(KILLS), done.stderr
    return left


@pytest.mark.parametrize("kill", KILLS)
def test_a_process_killed_anywhere_leaves_the_old_or_the_new_champion_and_the_next_one_finishes_or_undoes(
    killed: dict[str, Releasable], kill: str, tmp_path: Path
) -> None:
    act, function, _, state = KILLS[kill]
    left = killed[kill].copy_to(tmp_path / "left")
    at_once = serving(left)
    changed = at_once.by == "killed"
    assert changed == (state == "new")
    intended = (left.settings.serving / COHORT / JOURNAL).exists()
    assert intended == (function not in ("shutil.copytree", "champions.write_json"))
    found = recover(left.settings, COHORT)
    assert (found.outcome if found else None) == ("completed" if changed else "undone" if intended else None)
    assert recover(left.settings, COHORT) is None
    assert whole(left) == at_once
    # Whatever was left, the same change can be done now, once.
    if act == "promote":
        assert left.promote().digest == left.candidate.digest
    elif not changed:
        rollback(left.settings, COHORT, actor="root", reason="Alarms.")
    assert (whole(left).digest == left.candidate.digest) == (act == "promote")
