"""People are added and changed on the record, prove who they are, and are locked after five refused attempts."""

from __future__ import annotations

import base64
import dataclasses
import datetime as dt
import json
from pathlib import Path

import pytest
import sqlalchemy as sa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import settings as budget
from hypothesis import strategies as st

from assets_tests.worlds.machine.postgres import postgres_server as postgres_server
from assets_tests.worlds.machine.postgres import postgres_url as postgres_url
from assets_tests.worlds.ward.released import administrator
from clinical_assets.foundation.settings import Settings
from clinical_assets.governance.candidate.authorship import is_author
from clinical_assets.governance.errors import Refused
from clinical_assets.governance.signing import people
from clinical_assets.governance.signing.login import ATTEMPTS, WINDOW, PasswordAuthenticator, prove
from clinical_assets.governance.signing.passwords import MINIMUM_LENGTH, check_password, hash_password
from clinical_assets.governance.signing.people import (
    Person,
    add_person,
    find_person,
    list_people,
    set_password,
    set_roles,
)
from clinical_assets.governance.signing.person_keys import PersonKey
from clinical_assets.governance.signing.review import confirm
from clinical_assets.records import schema
from clinical_assets.records.database import RecordsDatabase
from clinical_assets.records.ledger.ledger import Ledger

SECRET = "a sentence that only bob knows"


@pytest.fixture
def records(settings: Settings) -> RecordsDatabase:
    return RecordsDatabase(settings)


def _add(records: RecordsDatabase, login: str = "bob", **changes: object) -> Person:
    values: dict[str, object] = {
        "printed_name": "Bob Brook",
        "roles": ["reviewer"],
        "accounts": ["bob-laptop"],
        "password": SECRET,
        "actor": "root",
        **changes,
    }
    if "by" not in values:
        values["by"] = administrator(records)
    return add_person(records, login=login, **values)  # type: ignore[arg-type]


def _key(records: RecordsDatabase, login: str, secret: str = SECRET) -> PersonKey:
    return prove(records, login, secret, actor="root")


def _refused(code: str) -> pytest.RaisesExc[Refused]:
    def is_it(error: Refused) -> bool:
        assert error.code == code, error
        assert error.cure
        return True

    return pytest.RaisesExc(Refused, check=is_it)


class TestChanges:
    def test_every_change_is_in_the_ledger_with_its_actor(self, records: RecordsDatabase) -> None:
        _add(records)
        by = administrator(records)
        set_roles(records, "bob", roles=["reviewer", "statistician"], accounts=[], actor="carol", by=by)
        set_password(records, "bob", "another sentence altogether", actor="dave", by=by)
        people.deactivate(records, "bob", actor="erin", by=by)
        entries = [each for each in Ledger(records).entries(action="person") if each.facts["login"] == "bob"]
        assert [(entry.actor, entry.facts["change"]) for entry in entries] == [
            ("root", "added"),
            ("carol", "roles"),
            ("dave", "password"),
            ("erin", "deactivated"),
        ]
        assert entries[1].facts["roles"] == ["reviewer", "statistician"]
        (person, _) = list_people(records)
        assert (person.roles, person.accounts, person.active) == (("reviewer", "statistician"), (), False)

    def test_no_password_and_no_hash_reaches_the_ledger_or_a_file_in_the_clear(
        self, records: RecordsDatabase, settings: Settings
    ) -> None:
        _add(records)
        PasswordAuthenticator(records, actor="root").authenticate("bob", SECRET)
        with records.read() as connection:
            row = connection.execute(sa.select(schema.people).where(schema.people.c.login == "bob")).one()
        stored = row.password_hash
        assert stored.startswith("$argon2id$")
        for path in (path for path in settings.data.parent.rglob("*") if path.is_file()):
            assert SECRET.encode() not in path.read_bytes(), path
        told = json.dumps([entry.facts for entry in Ledger(records).entries()])
        assert stored not in told
        assert json.loads(row.private_key)["locked"] not in told
        raw = prove(records, "bob", SECRET, actor="root").private.private_bytes_raw()
        for path in (path for path in settings.data.parent.rglob("*") if path.is_file()):
            content = path.read_bytes()
            assert raw not in content
            assert base64.b64encode(raw) not in content

    @pytest.mark.parametrize(
        ("changes", "code"),
        [
            ({"login": "Bob"}, "bad_person"),
            ({"login": "bob brook"}, "bad_person"),
            ({"printed_name": " "}, "bad_person"),
            ({"printed_name": "Bob\nBrook"}, "bad_person"),
            ({"roles": []}, "bad_person"),
            ({"roles": ["Reviewer!"]}, "bad_person"),
            ({"password": None}, "bad_person"),
            ({"identity_provider": "https://login.example"}, "bad_person"),
            ({"password": "x" * (MINIMUM_LENGTH - 1)}, "weak_password"),
            ({"password": "x" * MINIMUM_LENGTH}, "weak_password"),
            ({"password": "bobbobbobbob"}, "weak_password"),
            ({"password": "x" * 2000}, "weak_password"),
        ],
    )
    def test_who_cannot_be_somebody_is_refused_and_leaves_nothing(
        self, records: RecordsDatabase, changes: dict[str, object], code: str
    ) -> None:
        with _refused(code):
            _add(records, **changes)  # type: ignore[arg-type]
        assert [person.login for person in list_people(records)] == ["root"]
        assert [entry.facts["login"] for entry in Ledger(records).entries(action="person")] == ["root"]

    def test_a_login_is_given_once_even_after_its_owner_left(self, records: RecordsDatabase) -> None:
        _add(records)
        people.deactivate(records, "bob", actor="root", by=administrator(records))
        with _refused("person_exists"):
            _add(records)
        with _refused("unknown_person"):
            set_password(records, "carol", SECRET, actor="root", by=administrator(records))

    def test_the_first_person_is_an_administrator(self, records: RecordsDatabase) -> None:
        with _refused("first_administrator"):
            _add(records, by=None)
        assert list_people(records) == ()
        assert _add(records, "ada", roles=["administrator", "reviewer"], by=None).public_key
        (entry,) = Ledger(records).entries(action="person")
        assert entry.facts["by"] == "ada"

    def test_nobody_but_an_administrator_changes_people(self, records: RecordsDatabase) -> None:
        _add(records)
        bob, root = _key(records, "bob"), administrator(records)
        for by in (None, bob):
            with _refused("not_administrator"):
                _add(records, "carol", by=by)
            with _refused("not_administrator"):
                set_roles(records, "bob", roles=["administrator"], actor="bob", by=by)
            with _refused("not_administrator"):
                people.deactivate(records, "root", actor="bob", by=by)
        with _refused("not_administrator"):
            set_password(records, "bob", "a password that ann made up", actor="ann")
        set_password(records, "bob", "a new sentence of bob's own", actor="bob", by=bob)
        # Who proved to be an administrator, but is none any more by the time of the change, is refused too.
        _add(records, "eve", roles=["administrator"], by=root)
        people.deactivate(records, "root", actor="eve", by=_key(records, "eve"))
        with _refused("not_administrator"):
            _add(records, "frank", by=root)

    def test_a_key_that_is_none_of_an_administrator_signs_nothing_in_their_name(self, records: RecordsDatabase) -> None:
        _add(records)
        forged = PersonKey("root", Ed25519PrivateKey.generate())
        with _refused("people_changed"):
            set_roles(records, "bob", roles=["administrator"], actor="mallory", by=forged)
        old = _key(records, "bob")
        set_password(records, "bob", "a new sentence of bob's own", actor="bob", by=old)
        with _refused("people_changed"):
            set_password(records, "bob", "a thief with the old key", actor="mallory", by=old)
        assert _key(records, "bob", "a new sentence of bob's own").public_key != old.public_key
        found = find_person(records, "bob")
        assert found is not None
        assert found.roles == ("reviewer",)

    def test_the_last_administrator_stays_because_without_one_nobody_could_change_people(
        self, records: RecordsDatabase
    ) -> None:
        root = administrator(records)
        with _refused("last_administrator"):
            people.deactivate(records, "root", actor="root", by=root)
        with _refused("last_administrator"):
            set_roles(records, "root", roles=["reviewer"], actor="root", by=root)
        _add(records, "eve", roles=["administrator"], by=root)
        assert not people.deactivate(records, "root", actor="root", by=root).active

    def test_a_person_stays_author_of_runs_under_an_account_that_was_taken_away(self, records: RecordsDatabase) -> None:
        _add(records)
        set_roles(records, "bob", accounts=["bob-desktop"], actor="root", by=administrator(records))
        for account in ("bob", "bob-laptop", "bob-desktop"):
            assert is_author(records, "bob", [account])
        assert not is_author(records, "bob", ["ann", "bob-phone"])


def test_on_a_server_people_are_added_prove_themselves_and_are_replayed_too(
    settings: Settings, postgres_url: str
) -> None:
    records = RecordsDatabase(dataclasses.replace(settings, records_uri=postgres_url))
    _add(records)
    by = administrator(records)
    set_roles(records, "bob", roles=["statistician"], actor="root", by=by)
    assert _key(records, "bob").public_key == {each.login: each.public_key for each in list_people(records)}["bob"]
    assert confirm(records, by=by, reason="All is well.", actor="root").startswith("sha256:")
    with records.engine.begin() as connection:
        connection.exec_driver_sql("""UPDATE people SET roles = '["administrator"]' WHERE login = 'bob'""")
    with _refused("people_changed"):
        _key(records, "bob")
    assert Ledger(records).verify(every_seal=True).intact


class TestProof:
    def test_only_the_right_password_of_an_active_person_is_accepted_and_each_attempt_is_entered(
        self, records: RecordsDatabase
    ) -> None:
        _add(records)
        door = PasswordAuthenticator(records, actor="terminal-7")
        assert door.authenticate("bob", SECRET).printed_name == "Bob Brook"
        for login, secret in (("bob", SECRET + "!"), ("bob", ""), ("nobody", SECRET), ("My Password 1", SECRET)):
            with _refused("login_refused"):
                door.authenticate(login, secret)
        people.deactivate(records, "bob", actor="root", by=administrator(records))
        with _refused("login_refused"):
            door.authenticate("bob", SECRET)
        refused = Ledger(records).entries(action="login_refused")
        assert [entry.facts["login"] for entry in refused] == ["bob", "bob", "nobody", None, "bob"]
        assert {entry.actor for entry in refused} == {"terminal-7"}
        proven = [entry.facts["login"] for entry in Ledger(records).entries(action="login")]
        assert [login for login in proven if login != "root"] == ["bob"]

    def test_an_identity_provider_leaves_no_password_that_would_do(self, records: RecordsDatabase) -> None:
        _add(records, password=None, identity_provider="https://login.example")
        for secret in ("", SECRET):
            with _refused("login_refused"):
                PasswordAuthenticator(records, actor="root").authenticate("bob", secret)

    def test_five_refused_attempts_lock_also_against_the_right_password_and_the_lock_ends_by_itself(
        self, records: RecordsDatabase
    ) -> None:
        _add(records)
        _add(records, "carol")
        door = PasswordAuthenticator(records, actor="root")
        for _ in range(ATTEMPTS - 1):
            with _refused("login_refused"):
                door.authenticate("bob", "wrong")
        assert door.authenticate("bob", SECRET)
        with _refused("login_refused"):
            door.authenticate("bob", "wrong")
        for _ in range(3):
            with _refused("locked"):
                door.authenticate("bob", SECRET)
        assert door.authenticate("carol", SECRET)
        refused = Ledger(records).entries(action="login_refused")
        assert [entry.facts["why"] for entry in refused] == ["wrong"] * ATTEMPTS + ["locked"] * 3
        last = dt.datetime.fromisoformat(refused[ATTEMPTS - 1].at)
        with _refused("locked"):
            door.authenticate("bob", SECRET, now=last + WINDOW - dt.timedelta(seconds=1))
        # Attempts while locked did not make it longer.
        assert door.authenticate("bob", SECRET, now=last + WINDOW)

    @given(st.text(min_size=MINIMUM_LENGTH, max_size=40), st.text(max_size=40))
    @budget(max_examples=5)
    def test_a_hash_is_of_one_password(self, password: str, other: str) -> None:
        import unicodedata

        try:
            stored = hash_password(password, login="bob")
        except Refused:
            return
        same = unicodedata.normalize("NFKC", password) == unicodedata.normalize("NFKC", other)
        assert check_password(stored, password)
        assert check_password(stored, other) == same
        assert stored != hash_password(password, login="bob")

    def test_an_umlaut_is_the_same_however_a_keyboard_writes_it(self) -> None:
        assert check_password(
            hash_password("gr\u00fcne W\u00e4lder am Meer", login="bob"), "gru\u0308ne Wa\u0308lder am Meer"
        )


def test_a_refusal_keeps_its_code_on_the_way_between_processes(tmp_path: Path) -> None:
    import copy

    told = copy.copy(Refused("locked", "bob is locked.", cure="Wait."))
    assert (told.code, told.message, told.cure) == ("locked", "bob is locked.", "Wait.")
