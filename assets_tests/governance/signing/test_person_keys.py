"""A person's key: opened by its own password alone, bound to its owner, and what it signs is exactly that."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as budget
from hypothesis import strategies as st

from clinical_assets.foundation.settings import Settings
from clinical_assets.governance.errors import Refused
from clinical_assets.governance.signing import passwords
from clinical_assets.governance.signing.person_keys import PersonKey, is_signed_by, new_key, open_key
from clinical_assets.records.keys.installation import KEY_FILE

SECRET = "a sentence that only bob knows"
TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=20)
CONTENT = st.dictionaries(TEXTS, st.none() | st.booleans() | st.integers() | TEXTS, max_size=4)


@pytest.fixture
def made(settings: Settings) -> tuple[PersonKey, str]:
    return new_key(settings, "bob", password=SECRET)


def test_its_own_password_opens_it_and_what_was_written_in_another_way_is_the_same(settings: Settings) -> None:
    key, stored = new_key(settings, "bob", password="ein Satz mit \u00fc und mehr")
    opened = open_key(
        settings, "bob", public_key=key.public_key, stored=stored, password="ein Satz mit u\u0308 und mehr"
    )
    assert opened.private.private_bytes_raw() == key.private.private_bytes_raw()
    assert base64.b64encode(key.private.private_bytes_raw()).decode() not in stored + repr(key)


@pytest.mark.parametrize(
    "change",
    [
        {"password": SECRET + "!"},
        {"password": None},
        {"login": "carol"},
        {"public_key": base64.b64encode(bytes(32)).decode()},
        {"stored": '{"argon2id": {}}'},
        {"stored": "no JSON"},
    ],
)
def test_nothing_else_opens_it(made: tuple[PersonKey, str], settings: Settings, change: dict[str, Any]) -> None:
    key, stored = made
    given = {"login": "bob", "public_key": key.public_key, "stored": stored, "password": SECRET, **change}
    with pytest.raises(Refused) as caught:
        open_key(settings, given.pop("login"), **given)
    assert caught.value.code == "key_locked"


@pytest.mark.parametrize("field", ["nonce", "locked"])
def test_a_changed_byte_of_what_is_stored_is_noticed(
    made: tuple[PersonKey, str], settings: Settings, field: str
) -> None:
    key, stored = made
    locked = json.loads(stored)
    raw = bytearray(base64.b64decode(locked[field]))
    raw[0] ^= 1
    locked[field] = base64.b64encode(bytes(raw)).decode()
    with pytest.raises(Refused, match="cannot be unlocked"):
        open_key(settings, "bob", public_key=key.public_key, stored=json.dumps(locked), password=SECRET)


def test_two_keys_under_one_password_have_nothing_in_common(made: tuple[PersonKey, str], settings: Settings) -> None:
    other, stored = new_key(settings, "bob", password=SECRET)
    assert other.public_key != made[0].public_key
    mine, theirs = json.loads(made[1]), json.loads(stored)
    assert mine["argon2id"]["salt"] != theirs["argon2id"]["salt"]
    assert mine["nonce"] != theirs["nonce"]


def test_without_a_password_the_installation_holds_the_key(settings: Settings) -> None:
    key, stored = new_key(settings, "bob", password=None)
    assert (
        open_key(settings, "bob", public_key=key.public_key, stored=stored, password=None).public_key == key.public_key
    )
    (settings.keys / KEY_FILE).unlink()
    new_key(settings, "carol", password=None)  # makes another key of the installation
    with pytest.raises(Refused, match="cannot be unlocked"):
        open_key(settings, "bob", public_key=key.public_key, stored=stored, password=None)


@budget(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=CONTENT, other=CONTENT, kind=st.sampled_from(["signature", "person"]))
def test_a_signature_is_of_exactly_one_content_and_kind(
    made: tuple[PersonKey, str], content: dict[str, Any], other: dict[str, Any], kind: str
) -> None:
    key, _ = made
    signature = key.sign(kind, content)
    assert is_signed_by(key.public_key, kind, content, signature)
    assert not is_signed_by(key.public_key, "another kind", content, signature)
    if json.dumps(other, sort_keys=True) != json.dumps(content, sort_keys=True):
        assert not is_signed_by(key.public_key, kind, other, signature)
    for wrong in ("", "no base64!", "é", base64.b64encode(bytes(64)).decode()):
        assert not is_signed_by(key.public_key, kind, content, wrong)
    assert not is_signed_by("", kind, content, signature)


def test_a_guess_of_a_password_costs_what_rfc_9106_recommends(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(passwords, "COST", passwords.RFC_9106_LOW_MEMORY)
    assert "$m=65536,t=3,p=4$" in passwords.hash_password("a long sentence of cora", login="cora")
    _, stored = new_key(settings, "cora", password="a long sentence of cora")
    cost = {name: json.loads(stored)["argon2id"][name] for name in passwords.HashCost._fields}
    assert cost == {"memory_kib": 65_536, "passes": 3, "lanes": 4}
