"""A signature is given by the right person, on the dossier as it is, and can be shown to have been given."""

from __future__ import annotations

import datetime as dt
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assets_tests.worlds.ward.released import (
    OPEN,
    PEOPLE,
    ROOT,
    Releasable,
    administrator,
    approve_in_another_process,
    proof,
    second_release,
    write_by_hand,
)
from assets_tests.worlds.ward.trained import COHORT
from clinical_assets.cohorts.governance import ApprovalPolicy
from clinical_assets.governance.errors import Refused
from clinical_assets.governance.signing import people, signatures
from clinical_assets.governance.signing.approval_status import approval_status_of
from clinical_assets.governance.signing.record import Signature
from clinical_assets.governance.signing.signatures import refuse_changed, signatures_of, standing_on
from clinical_assets.modelling.champion.champion_pointer import current
from clinical_assets.records.ledger.ledger import Ledger

WRONG = "sha256:" + "0" * 64
TWO_ROLES = {"signatures": [{"role": "reviewer"}, {"role": "statistician"}]}


def _refused(code: str, *words: str) -> pytest.RaisesExc[Refused]:
    def is_it(error: Refused) -> bool:
        assert error.code == code, error
        assert error.cure
        assert all(word in error.message for word in words), error.message
        return True

    return pytest.RaisesExc(Refused, check=is_it)


def _lacking(made: Releasable) -> dict[str, int]:
    return dict(standing_on(made.candidate, made.dossier_digest).lacking)


def test_a_signature_carries_name_role_time_meaning_and_both_digests_and_the_ledger_says_the_same(
    made: Releasable,
) -> None:
    before = dt.datetime.now(dt.UTC)
    given = made.approve("bob")
    signed, expires = dt.datetime.fromisoformat(given.signed_at), dt.datetime.fromisoformat(given.expires_at)
    assert before <= signed <= dt.datetime.now(dt.UTC)
    assert expires - signed == dt.timedelta(days=made.candidate.spec.approval.valid_days)
    assert (given.printed_name, given.role, given.login) == ("Bob Brook", "reviewer", "bob")
    assert (given.bundle_digest, given.dossier_digest) == (made.candidate.digest, made.dossier_digest)
    assert "agree to the release" in given.meaning
    assert signatures_of(made.records, bundle_digest=made.candidate.digest) == (given,)
    (entry,) = Ledger(made.records).entries(action="signature")
    assert (entry.seq, entry.actor, entry.digest) == (given.ledger_seq, "bob", made.candidate.digest)
    assert entry.facts == given.facts()


def test_what_is_not_the_dossier_on_disk_cannot_be_signed_and_both_digests_are_named(made: Releasable) -> None:
    with _refused("wrong_digest", WRONG, made.dossier_digest):
        signatures.approve(made.candidate, dossier_digest=WRONG, proof=proof("bob"), meaning="Yes.")
    assert {entry.facts["login"] for entry in Ledger(made.records).entries(action="login")} <= {ROOT}
    assert signatures_of(made.records, bundle_digest=made.candidate.digest) == ()


def test_the_signer_proves_who_they_are_each_time(made: Releasable) -> None:
    with _refused("login_refused"):
        made.approve("bob", secret="not bob's password")
    made.approve("bob")
    with _refused("login_refused"):
        made.approve("carol", secret="")
    proven = [entry.facts["login"] for entry in Ledger(made.records).entries(action="login")]
    assert [login for login in proven if login != ROOT] == ["bob"]


def test_a_signer_who_left_cannot_sign_and_what_they_signed_stays(made: Releasable) -> None:
    made.approve("bob")
    people.deactivate(made.records, "bob", actor="root", by=administrator(made.records))
    with _refused("login_refused"):
        made.reject("bob")
    assert _lacking(made) == {}


class TestAuthors:
    def test_whoever_trained_the_model_signs_and_waives_nothing_but_may_reject(self, made: Releasable) -> None:
        made.judge(bias="insufficient")
        with _refused("author_signs", "ann"):
            made.approve("ann")
        with _refused("author_signs", "ann"):
            made.waive("ann")
        assert made.reject("ann").kind == "rejection"

    def test_an_account_of_the_signer_is_the_signer_even_after_it_was_taken_away(self, made: Releasable) -> None:
        for accounts in (["ann"], []):
            by = administrator(made.records)
            people.set_roles(made.records, "bob", accounts=accounts, actor="root", by=by)
            with _refused("author_signs", "bob"):
                made.approve("bob")
        made.approve("carol")

    def test_a_model_without_a_recorded_training_has_no_known_author(self, made: Releasable) -> None:
        write_by_hand(made, "DELETE FROM ledger WHERE action = 'training'")
        with _refused("author_unknown", made.candidate.digest):
            made.approve("bob")


class TestPolicy:
    def test_distinct_people_are_counted_and_nobody_signs_twice(self, made: Releasable) -> None:
        made.trained.describe(approval={"signatures": [{"role": "reviewer", "count": 2}]})
        assert _lacking(made) == {"reviewer": 2}
        made.approve("bob")
        with _refused("signed_already", "bob"):
            made.approve("bob")
        assert _lacking(made) == {"reviewer": 1}
        made.approve("carol")
        assert _lacking(made) == {}

    def test_who_holds_two_roles_says_which_and_does_not_count_for_both(self, made: Releasable) -> None:
        made.trained.describe(approval=TWO_ROLES)
        with _refused("role_needed", "reviewer", "statistician"):
            made.approve("carol")
        assert made.approve("carol", role="statistician").role == "statistician"
        with _refused("signed_already"):
            made.approve("carol", role="reviewer")
        with _refused("no_role"):
            made.approve("dave", role="reviewer")
        assert _lacking(made) == {"reviewer": 1}
        made.approve("bob")
        assert _lacking(made) == {}

    def test_of_two_roles_the_one_still_lacking_is_taken(self, made: Releasable) -> None:
        made.trained.describe(approval=TWO_ROLES)
        made.approve("dave")
        assert made.approve("carol").role == "reviewer"

    def test_a_role_that_the_policy_does_not_name_signs_nothing(self, made: Releasable) -> None:
        with _refused("no_role", "Dave Dale"):
            made.approve("dave")

    def test_a_signature_ends_and_may_then_be_given_again(self, made: Releasable) -> None:
        given = made.approve("bob")
        end = dt.datetime.fromisoformat(given.expires_at)
        moments = {end - dt.timedelta(seconds=1): {}, end: {"reviewer": 1}}
        for now, lacking in moments.items():
            assert standing_on(made.candidate, made.dossier_digest, now=now).lacking == lacking
        made.approve("bob", now=end)
        assert standing_on(made.candidate, made.dossier_digest, now=end).lacking == {}

    @given(
        st.lists(st.tuples(st.sampled_from("abcd"), st.sampled_from(["reviewer", "statistician"])), max_size=8),
        st.integers(1, 3),
        st.integers(1, 3),
    )
    def test_nobody_counts_twice_whatever_was_signed(
        self, given_by: list[tuple[str, str]], reviewers: int, statisticians: int
    ) -> None:
        policy = ApprovalPolicy.model_validate(
            {
                "signatures": [
                    {"role": "reviewer", "count": reviewers},
                    {"role": "statistician", "count": statisticians},
                ]
            }
        )
        found = approval_status_of(
            [_signature(number, login, role) for number, (login, role) in enumerate(given_by, start=1)],
            policy,
            dossier_digest=WRONG,
            now=dt.datetime(2026, 6, 1, tzinfo=dt.UTC),
        )
        logins = [each.login for each in found.approvals]
        assert sorted(logins) == sorted(set(logins)) == sorted({login for login, _ in given_by})
        if not found.lacking:
            assert len(logins) >= reviewers + statisticians


class TestRejections:
    def test_a_rejection_stands_until_its_signer_withdraws_it(self, made: Releasable) -> None:
        made.approve("bob")
        made.reject("carol")
        assert made.codes() == ["rejected"]
        with _refused("nothing_to_withdraw", "bob"):
            made.reject("bob", withdraw=True)
        with _refused("own_rejection"):
            made.approve("carol")
        with _refused("signed_already"):
            made.reject("carol")
        assert made.reject("carol", withdraw=True).kind == "withdrawal"
        assert made.codes() == []

    def test_a_rejection_is_of_one_dossier(self, made: Releasable) -> None:
        made.reject("carol")
        made.judge(bias="insufficient")
        assert set(made.codes()) == {"unsigned", "waiver_missing"}


class TestWaivers:
    def test_what_could_not_be_judged_is_waived_by_a_signature_of_its_own(self, made: Releasable) -> None:
        made.judge(bias="insufficient")
        made.approve("bob")
        assert made.codes() == ["waiver_missing"]
        waiver = made.waive("bob")
        assert (waiver.gate, waiver.criterion, waiver.kind) == (*OPEN, "waiver")
        assert waiver.reason
        assert made.codes() == []
        with _refused("signed_already"):
            made.waive("bob")
        (entry,) = Ledger(made.records).entries(action="waiver")
        assert (entry.facts, entry.reason) == (waiver.facts(), waiver.reason)

    @pytest.mark.parametrize("outcome", ["pass", "fail"])
    def test_what_was_judged_is_not_waived(self, made: Releasable, outcome: str) -> None:
        made.judge(bias=outcome)  # type: ignore[arg-type]
        with _refused("not_waivable", outcome):
            made.waive("bob")
        with _refused("not_waivable", "no verdict"):
            made.waive("bob", of=("bias", "something else"))

    def test_several_are_waived_by_one_proof_each_with_a_signature_of_its_own(self, made: Releasable) -> None:
        made.judge(bias="insufficient", performance="insufficient")
        made.approve("bob")
        wanted = signatures.open_criteria(made.candidate, made.dossier_digest)
        assert set(wanted) == {OPEN, ("performance", "performance_holds")}
        given = signatures.waive_several(
            made.candidate,
            dossier_digest=made.dossier_digest,
            proof=proof("bob"),
            criteria=[*wanted, *wanted],
            reason="Both were looked at by hand.",
        )
        assert [(each.gate, each.criterion) for each in given] == list(wanted)
        assert {each.reason for each in given} == {"Both were looked at by hand."}
        assert len({each.signature for each in given}) == 2
        assert signatures.open_criteria(made.candidate, made.dossier_digest) == ()
        refuse_changed(made.records, bundle_digest=made.candidate.digest)
        assert made.codes() == []

    def test_of_several_none_is_waived_where_one_is_refused(self, made: Releasable) -> None:
        made.judge(bias="insufficient", performance="insufficient")
        made.waive("bob")
        for criteria in ([("performance", "performance_holds"), OPEN], [OPEN, ("security", "no such")], []):
            with pytest.raises(Refused):
                signatures.waive_several(
                    made.candidate,
                    dossier_digest=made.dossier_digest,
                    proof=proof("bob"),
                    criteria=criteria,
                    reason="Looked at by hand.",
                )
        assert len(Ledger(made.records).entries(action="waiver")) == 1

    def test_a_waiver_needs_a_reason_and_a_role_that_may_waive(self, made: Releasable) -> None:
        made.judge(bias="insufficient")
        made.trained.describe(approval={**TWO_ROLES, "waivers": ["statistician"]})
        with _refused("no_reason"):
            signatures.waive(
                made.candidate,
                dossier_digest=made.dossier_digest,
                proof=proof("dave"),
                gate=OPEN[0],
                criterion=OPEN[1],
                reason=" ",
            )
        with _refused("no_role"):
            made.waive("bob")
        assert made.waive("dave").role == "statistician"


def test_only_the_newest_model_is_signed(tmp_path_factory: pytest.TempPathFactory, tmp_path: Path) -> None:
    made = second_release(tmp_path_factory).copy_to(tmp_path / "release")
    serving = current(made.settings, COHORT)
    assert serving is not None
    old = made.trained.candidate(serving.digest)
    with _refused("superseded", old.digest, made.candidate.digest):
        signatures.approve(old, dossier_digest=WRONG, proof=proof("carol"), meaning="Yes.")


def test_two_who_sign_at_the_same_moment_both_count_and_one_who_signs_twice_counts_once(
    made: Releasable, tmp_path: Path
) -> None:
    made.trained.describe(approval={"signatures": [{"role": "reviewer", "count": 2}]})
    logins = ["bob", "carol", "bob", "carol"]
    with ProcessPoolExecutor(len(logins), mp_context=get_context("spawn")) as pool:
        jobs = [pool.submit(approve_in_another_process, str(tmp_path / "release"), login) for login in logins]
        ended = [job.result() for job in jobs]
    assert sorted(ended) == ["signed", "signed", "signed_already", "signed_already"]
    given = signatures_of(made.records, bundle_digest=made.candidate.digest)
    assert {each.login for each in given} == {"bob", "carol"}
    refuse_changed(made.records, bundle_digest=made.candidate.digest)
    assert Ledger(made.records).verify().intact
    assert _lacking(made) == {}


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE signatures SET login = 'carol', printed_name = 'Carol Crane'",
        "UPDATE signatures SET expires_at = '2099-01-01T00:00:00.000000+00:00'",
        "UPDATE signatures SET kind = 'withdrawal'",
        "DELETE FROM signatures",
        "INSERT INTO signatures SELECT 'x', cohort, bundle_digest, dossier_digest, kind, meaning, gate, criterion, "
        "reason, 'carol', 'Carol Crane', role, signed_at, expires_at, ledger_seq, public_key, signature "
        "FROM signatures",
    ],
)
def test_a_signature_that_was_not_given_by_signing_is_noticed(made: Releasable, statement: str) -> None:
    made.approve("bob")
    write_by_hand(made, statement)
    assert "signatures_changed" in made.codes()


def _signature(number: int, login: str, role: str) -> Signature:
    return Signature(
        id=str(number),
        cohort=COHORT,
        bundle_digest=WRONG,
        dossier_digest=WRONG,
        kind="approval",
        meaning="Yes.",
        gate=None,
        criterion=None,
        reason=None,
        login=login,
        printed_name=PEOPLE.get(login, (login.upper(), ()))[0],
        role=role,
        signed_at="2026-01-01T00:00:00.000000+00:00",
        expires_at="2027-01-01T00:00:00.000000+00:00",
        ledger_seq=number,
        public_key="a key",
        signature="made by it",
    )
