"""A signature or a person that was forged in the database counts for nothing and is named.

Every case here was accepted, or noticed by nothing, while signatures were rows with a public hash.
"""

from __future__ import annotations

import uuid

import pytest

from assets_tests.governance.keyed_evidence.forging import forge_entry, insert, row_of, wrong
from assets_tests.worlds.ward.released import (
    Releasable,
    administrator,
    proof,
    secret,
    write_by_hand,
)
from clinical_assets.governance.errors import Refused
from clinical_assets.governance.promotion.promotion import PromotionRefused
from clinical_assets.governance.signing import people, signatures
from clinical_assets.governance.signing.passwords import hash_password
from clinical_assets.governance.signing.person_keys import new_key
from clinical_assets.governance.signing.roster import read_roster
from clinical_assets.governance.signing.signatures import true_signatures
from clinical_assets.records import schema
from clinical_assets.records.errors import RecordsError
from clinical_assets.records.ledger.ledger import Ledger


class TestSignatures:
    def test_a_row_of_nobody_with_the_ledger_number_of_a_true_signature_counts_for_nothing(
        self, made: Releasable
    ) -> None:
        made.reject("carol")
        true = row_of(made, schema.signatures)
        forged = {**true, "id": str(uuid.uuid4()), "kind": "approval", "login": "mallory", "printed_name": "Mallory M"}
        insert(made, "signatures", forged)
        assert {"unsigned", "signatures_changed"} <= set(made.codes())
        with pytest.raises(PromotionRefused):
            made.promote()
        assert list(wrong(made)) == ["signatures"]

    @pytest.mark.parametrize("sealed", [False, True], ids=["database", "installation's key"])
    def test_nor_does_one_with_an_entry_of_its_own_because_it_lacks_the_signers_key(
        self, made: Releasable, sealed: bool
    ) -> None:
        made.approve("carol")
        true = row_of(made, schema.signatures)
        forged = {**true, "id": str(uuid.uuid4()), "login": "bob", "printed_name": "Bob Brook"}
        known = people.find_person(made.records, "bob")
        assert known is not None
        forged["public_key"] = known.public_key
        facts = {name: value for name, value in forged.items() if name != "ledger_seq"}
        forged["ledger_seq"] = forge_entry(made, "signature", facts, sealed=sealed)
        insert(made, "signatures", forged)
        given, problems = true_signatures(made.records, bundle_digest=made.candidate.digest)
        assert [each.login for each in given] == ["carol"]
        assert "does not have the signature of its signer's key" in problems[0]
        assert set(wrong(made)) == ({"signatures"} if sealed else {"ledger", "signatures"})
        if not sealed:
            with pytest.raises(RecordsError, match="not written by this installation"):
                Ledger(made.records).append("review", actor="ann")

    @pytest.mark.parametrize(
        "change", [{"role": "statistician"}, {"meaning": "Anything."}, {"dossier_digest": "sha256:" + "0" * 64}]
    )
    def test_a_true_signature_cannot_be_made_to_say_something_else(
        self, made: Releasable, change: dict[str, str]
    ) -> None:
        made.approve("bob")
        ((name, value),) = change.items()
        changed = {**row_of(made, schema.signatures), name: value}
        facts = {column: each for column, each in changed.items() if column != "ledger_seq"}
        seq = forge_entry(made, "signature", facts, sealed=True)
        write_by_hand(made, f"UPDATE signatures SET {name} = '{value}', ledger_seq = {seq}")
        _, problems = true_signatures(made.records, bundle_digest=made.candidate.digest)
        assert problems
        assert "signatures_changed" in made.codes()

    def test_a_signature_of_a_kind_that_there_is_not_is_named(self, second: Releasable) -> None:
        write_by_hand(second, "UPDATE signatures SET kind = kind || 'x'")
        assert "approvalx" in wrong(second)["signatures"][0]

    def test_a_password_that_is_known_to_the_database_alone_unlocks_no_key(self, made: Releasable) -> None:
        hashed = hash_password("mallory made this one up", login="bob")
        write_by_hand(made, f"UPDATE people SET password_hash = '{hashed}' WHERE login = 'bob'")
        with pytest.raises(Refused) as caught:
            made.approve("bob", secret="mallory made this one up")
        assert caught.value.code == "people_changed"
        assert "bob" in wrong(made)["people"][0]


class TestPeople:
    def test_a_person_that_was_inserted_can_do_nothing(self, made: Releasable) -> None:
        password = "mallory made this one up"
        key, private = new_key(made.settings, "mallory", password=password)
        row = {
            "login": "mallory",
            "printed_name": "Mallory M",
            "roles": '["administrator", "reviewer"]',
            "accounts": "[]",
            "password_hash": hash_password(password, login="mallory"),
            "active": 1,
            "created_at": "2026-01-01T00:00:00.000000+00:00",
            "public_key": key.public_key,
            "private_key": private,
        }
        insert(made, "people", row)
        with pytest.raises(Refused, match="never added by an administrator"):
            signatures.approve(
                made.candidate,
                dossier_digest=made.dossier_digest,
                proof=proof("mallory", secret=password),
                meaning="Y.",
            )
        with pytest.raises(Refused, match="role administrator"):
            people.set_roles(made.records, "bob", roles=["administrator"], actor="mallory", by=key)
        assert "mallory" in wrong(made)["people"][0]

    @pytest.mark.parametrize(
        "change",
        [
            """roles = '["reviewer","statistician"]'""",
            "accounts = '[\"x\"]'",
            "active = 0",
            "printed_name = 'Somebody Else'",
            "public_key = (SELECT public_key FROM people WHERE login = 'carol')",
            "private_key = (SELECT private_key FROM people WHERE login = 'carol')",
        ],
    )
    def test_an_edited_person_is_noticed_before_anything_is_done_with_them(self, made: Releasable, change: str) -> None:
        write_by_hand(made, f"UPDATE people SET {change} WHERE login = 'bob'")
        with pytest.raises(Refused) as caught:
            made.approve("bob")
        assert caught.value.code == "people_changed"
        assert "bob is not as an administrator signed" in wrong(made)["people"][0]

    def test_an_account_whose_state_is_neither_yes_nor_no_is_noticed(self, made: Releasable) -> None:
        write_by_hand(made, "UPDATE people SET active = active + 1000 WHERE login = 'bob'")
        assert "bob does not say" in wrong(made)["people"][0]

    def test_a_person_who_was_removed_is_missed(self, made: Releasable) -> None:
        write_by_hand(made, "DELETE FROM people WHERE login = 'bob'")
        assert "bob is in the ledger" in wrong(made)["people"][0]

    def test_an_old_entry_that_is_added_again_with_a_true_seal_gives_nobody_back_what_they_lost(
        self, made: Releasable
    ) -> None:
        by = administrator(made.records)
        (added,) = [e for e in Ledger(made.records).entries(action="person") if e.facts["login"] == "carol"]
        people.set_roles(made.records, "carol", roles=["statistician"], actor="root", by=by)
        forge_entry(made, "person", dict(added.facts), sealed=True)
        write_by_hand(made, """UPDATE people SET roles = '["reviewer","statistician"]' WHERE login = 'carol'""")
        with made.records.read() as connection:
            roster = read_roster(connection, made.settings)
        assert "was added again" in str(roster.problem)
        assert roster.history["carol"][-1].roles == ("statistician",)
        assert "was added again" in wrong(made)["people"][0]

    @pytest.mark.parametrize("signed_by", ["mallory", "bob", "root"])
    def test_an_entry_that_no_administrators_key_signed_changes_nobody(self, made: Releasable, signed_by: str) -> None:
        newest = [e for e in Ledger(made.records).entries(action="person") if e.facts["login"] == "bob"][-1]
        key, _ = new_key(made.settings, signed_by, password=secret("bob"))
        facts = {**newest.facts, "roles": ["administrator"], "number": newest.facts["number"] + 1, "by": signed_by}
        del facts["signature"]
        forge_entry(made, "person", {**facts, "signature": key.sign("person", facts)}, sealed=True)
        with pytest.raises(Refused) as caught:
            people.find_person(made.records, "bob")
        assert caught.value.code == "people_changed"
        assert wrong(made)["people"]
