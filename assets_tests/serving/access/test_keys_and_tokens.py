"""Who may ask: keys and tokens, their scope and their end; what is refused is counted, and tells nothing."""

from __future__ import annotations

import asyncio
import datetime as dt
import json
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx
import jwt
import pytest
import sqlalchemy as sa
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from jwt.algorithms import RSAAlgorithm
from typer.testing import CliRunner

from assets_tests.serving.conftest import Client
from assets_tests.worlds.ward.api_server import path_of, record
from assets_tests.worlds.ward.trained import COHORT
from clinical_assets.cli.main import app
from clinical_assets.foundation.settings import Settings
from clinical_assets.records import schema
from clinical_assets.records.database import RecordsDatabase
from clinical_assets.records.ledger.ledger import Ledger
from clinical_assets.serving.access.callers import RIGHTS, AccessRefused, Caller
from clinical_assets.serving.access.key_door import KeyDoor
from clinical_assets.serving.access.key_store import KeyRefused, list_keys, make_key, revoke_key, rotate_key
from clinical_assets.serving.access.rates import Rates, TooManyRequests
from clinical_assets.serving.access.tokens import Issuer, TokenReader
from clinical_assets.serving.server import ServerError, refuse_open_address
from clinical_assets.workspace import Workspace


@pytest.fixture
def records(settings: Settings) -> RecordsDatabase:
    return RecordsDatabase(settings)


def made(records: RecordsDatabase, **changes: Any) -> tuple[str, str]:
    """Id and text of a key."""
    terms: dict[str, Any] = {"name": "ehr", "rights": ["predict"], "cohorts": [COHORT], "days": 30, "actor": "ann"}
    key, text = make_key(records, **{**terms, **changes})
    return key.id, text


def asked(door: KeyDoor, *headers: tuple[str, str], address: str = "10.0.0.1") -> Caller:
    raw = [(name.lower().encode(), value.encode("latin-1")) for name, value in headers]
    return asyncio.run(door.caller({"headers": raw, "client": (address, 1), "path": path_of("predict")}))


def bearer(text: str) -> tuple[str, str]:
    return ("Authorization", f"Bearer {text}")


def test_a_key_has_its_rights_and_cohorts_and_only_its_digest_is_stored(records: RecordsDatabase) -> None:
    key_id, text = made(records, rights=["predict", "reasons"])
    door = KeyDoor(records)
    assert asked(door, bearer(text)) == Caller(key_id, frozenset({"predict", "reasons"}), frozenset({COHORT}))
    path = records.settings.records / "records.sqlite"
    stored = b"".join(each.read_bytes() for each in path.parent.glob("records.sqlite*"))
    assert text.split("_", 2)[2].encode() not in stored
    (entry,) = Ledger(records).entries(action="api_key")
    assert entry.facts["id"] == key_id


def test_no_wrong_missing_or_doubled_key_is_accepted_and_the_answer_does_not_say_why(records: RecordsDatabase) -> None:
    _, text = made(records)
    _, other = made(records)
    _, named, secret = text.split("_", 2)
    door = KeyDoor(records, rates=Rates(tries="1000/minute"))
    wrong: list[tuple[tuple[str, str], ...]] = [
        (bearer(text[:-1]),),
        (bearer(f"ca_{named}_{other.split('_', 2)[2]}"),),
        (bearer(f"ca_0000000000_{secret}"),),
        (bearer("ca_"),),
        (bearer("ca"),),
        (bearer("é" * 50),),
        (("Authorization", f"Basic {text}"),),
        (bearer(text), bearer(text)),
        (),
    ]
    words = set()
    for headers in wrong:
        with pytest.raises(AccessRefused) as caught:
            asked(door, *headers)
        assert not caught.value.known
        words.add(caught.value.message)
    assert words == {"The key is not accepted.", "No key was shown."}


def test_a_revoked_an_expired_and_a_rotated_key_are_refused(records: RecordsDatabase) -> None:
    revoked, first = made(records)
    rotated, second = made(records)
    door = KeyDoor(records, read_s=0)
    assert asked(door, bearer(first)).key == revoked
    revoke_key(records, revoked, actor="ann", reason="Lost.")
    with pytest.raises(AccessRefused):
        asked(door, bearer(first))
    with pytest.raises(KeyRefused, match="revoked before"):
        revoke_key(records, revoked, actor="ann", reason="Again.")
    new, third = rotate_key(records, rotated, actor="ann", days=10, grace_hours=1)
    assert (new.replaces, new.rights) == (rotated, ("predict",))
    assert asked(door, bearer(second)).key == rotated  # for an hour
    assert asked(door, bearer(third)).key == new.id
    states = {key.id: key.state("2999-01-01") for key in list_keys(records)}
    assert states == {revoked: "revoked", rotated: "revoked", new.id: "expired"}


def test_a_row_that_nobody_entered_is_no_key_and_a_row_cannot_be_given_more_rights(records: RecordsDatabase) -> None:
    key_id, _ = made(records)
    (row,) = _rows(records)
    engine = sa.create_engine(records.url)
    with engine.begin() as connection:
        for event in ("update", "delete", "replacement"):
            connection.exec_driver_sql(f"DROP TRIGGER api_keys_no_{event}")
        forged = {**row, "id": "f0f0f0f0f0", "rights": json.dumps(list(RIGHTS))}
        connection.execute(schema.api_keys.insert().values(**forged))
    assert [key.id for key in list_keys(RecordsDatabase(records.settings))] == [key_id]
    with engine.begin() as connection:
        changed = schema.api_keys.update().where(schema.api_keys.c.id == key_id)
        connection.exec_driver_sql("DROP TRIGGER IF EXISTS api_keys_no_update")
        connection.execute(changed.values(rights=json.dumps(list(RIGHTS))))
    engine.dispose()
    assert list_keys(RecordsDatabase(records.settings)) == ()


def _rows(records: RecordsDatabase) -> list[dict[str, Any]]:
    with records.read() as connection:
        return [dict(row._mapping) for row in connection.execute(sa.select(schema.api_keys))]


def test_callers_and_guessers_are_slowed_down(records: RecordsDatabase) -> None:
    _, text = made(records)
    door = KeyDoor(records, rates=Rates("3/minute", "2/minute"))
    for _ in range(3):
        asked(door, bearer(text))
    with pytest.raises(TooManyRequests) as caught:
        asked(door, bearer(text))
    assert 1 <= caught.value.retry_after_s <= 60
    for _ in range(2):
        with pytest.raises(AccessRefused):
            asked(door, bearer("ca_x_y"), address="10.0.0.9")
    with pytest.raises(TooManyRequests):
        asked(door, bearer(text), address="10.0.0.9")


def test_a_thousand_refusals_are_one_entry_of_the_ledger(records: RecordsDatabase) -> None:
    key_id, text = made(records)
    door = KeyDoor(records, rates=Rates(tries="100/minute"))
    asked(door, bearer(text))
    for _ in range(1000):
        with pytest.raises((AccessRefused, TooManyRequests)):
            asked(door, bearer("ca_secret_words"), address="10.0.0.9")
    door.journal.enter()
    door.journal.enter()
    (entry,) = Ledger(records).entries(action="api_access")
    assert entry.facts["refused"] == {"unknown": 100, "too many attempts": 900}
    assert entry.facts["asked"] == {key_id: 1}
    assert "secret_words" not in json.dumps(entry.facts)


def test_what_a_caller_sees_and_may_do_is_its_keys_scope(client: Client, workspace: Workspace) -> None:
    _, ordinary = made(workspace.records)
    _, full = made(workspace.records, rights=list(RIGHTS), cohorts=None)
    _, elsewhere = made(workspace.records, cohorts=["heart_disease"])
    body = {"records": [record()]}

    async def calls() -> list[httpx.Response]:
        async with client(door=KeyDoor(workspace.records)) as http:
            said = [dict([bearer(text)]) for text in (ordinary, full, elsewhere)]
            return [
                await http.post(path_of("predict"), json=body, headers=said[0]),
                await http.post(path_of("predict"), json=body, headers=said[1]),
                await http.post(path_of("predict"), json=body, headers=said[2]),
                await http.post(path_of("explain"), json=body, headers=said[0]),
                await http.get(path_of("stats"), headers=said[0]),
                await http.post(path_of("predict"), json=body),
                await http.get("/v1/cohorts", headers=said[2]),
                await http.get("/health"),
            ]

    plain, everything, other, explain, stats, nobody, listed, health = asyncio.run(calls())
    assert set(plain.json()["predictions"][0]) == {
        "prediction",
        "predicted_class",
        "tier",
        "action",
        "is_alert",
        "warnings",
    }
    assert {"risk", "reasons"} <= set(everything.json()["predictions"][0])
    assert [each.status_code for each in (other, explain, stats, nobody, health)] == [403, 403, 403, 401, 200]
    assert nobody.headers["www-authenticate"] == "Bearer"
    assert [each["cohort"] for each in listed.json()["cohorts"]] == ["heart_disease"]


# Tokens


@pytest.fixture(scope="module")
def signer() -> RSAPrivateKey:
    return generate_private_key(public_exponent=65537, key_size=2048)


@pytest.fixture
def reader(signer: RSAPrivateKey, tmp_path: Path) -> TokenReader:
    path = tmp_path / "jwks.json"
    path.write_text(json.dumps({"keys": [_public(signer, "k1")]}))
    return TokenReader(Issuer("https://id.example", "clinical-assets", str(path)))


def _public(signer: RSAPrivateKey, kid: str) -> dict[str, Any]:
    return {**json.loads(RSAAlgorithm.to_jwk(signer.public_key())), "kid": kid, "use": "sig"}


def token(signer: Any, *, kid: str = "k1", algorithm: str = "RS256", **changes: Any) -> str:
    claims: Mapping[str, Any] = {
        "iss": "https://id.example",
        "aud": "clinical-assets",
        "sub": "ehr",
        "exp": dt.datetime.now(dt.UTC) + dt.timedelta(minutes=5),
        "scope": "openid predict clinical_assets:reasons root",
        "cohorts": [COHORT],
        **changes,
    }
    kept = {name: value for name, value in claims.items() if value is not None}
    return jwt.encode(kept, signer, algorithm=algorithm, headers={"kid": kid})


def test_a_token_gives_the_rights_of_its_claims(reader: TokenReader, signer: RSAPrivateKey) -> None:
    found = reader.caller(token(signer))
    assert (found.rights, found.cohorts) == (frozenset({"predict", "reasons"}), frozenset({COHORT}))
    assert found.key.startswith("token:")
    assert "ehr" not in found.key
    assert reader.caller(token(signer, cohorts="*")).cohorts is None
    nothing = reader.caller(token(signer, cohorts=None, scope=None))
    assert (nothing.rights, nothing.cohorts) == (frozenset(), frozenset())


def test_a_forged_an_expired_and_a_strange_token_are_refused(reader: TokenReader, signer: RSAPrivateKey) -> None:
    past = dt.datetime.now(dt.UTC) - dt.timedelta(minutes=5)
    stranger = generate_private_key(public_exponent=65537, key_size=2048)
    head, payload, signature = token(signer).split(".")
    unsigned = jwt.encode({"sub": "x"}, None, algorithm="none")
    forged = [
        unsigned,
        f"{unsigned.split('.')[0]}.{payload}.",
        f"{head}.{payload}.{signature[:-4]}AAAA",
        token(stranger),
        token(signer, kid="k2"),
        token("published as it is, this is no secret of any kind", algorithm="HS256"),
        token(signer, exp=past),
        token(signer, exp=None),
        token(signer, iss="https://evil.example"),
        token(signer, aud="another"),
        token(signer, sub=None),
        token(signer, nbf=dt.datetime.now(dt.UTC) + dt.timedelta(hours=1)),
        "no token",
        "a.b.c",
        "x" * 10_000,
    ]
    for each in forged:
        with pytest.raises(AccessRefused) as caught:
            reader.caller(each)
        assert str(caught.value.message) == "The token is not accepted."
        assert caught.value.__cause__ is None


def test_a_key_that_the_issuer_rolled_over_is_found(reader: TokenReader, signer: RSAPrivateKey) -> None:
    assert reader.caller(token(signer)).rights
    follower = generate_private_key(public_exponent=65537, key_size=2048)
    path = Path(reader.issuer.jwks)
    path.write_text(json.dumps({"keys": [_public(follower, "k2")]}))
    os.utime(path, ns=(time.time_ns() + 10**9, time.time_ns() + 10**9))
    assert reader.caller(token(follower, kid="k2")).rights
    with pytest.raises(AccessRefused):
        reader.caller(token(signer))


# The command line and the address


def test_the_command_shows_a_key_once_and_lists_it_without(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    call = CliRunner()
    done = call.invoke(app, ["keys", "new", "ward 7", "--right", "predict", "--cohort", "heart_disease"])
    assert done.exit_code == 0, done.output
    text = done.stdout.strip()
    assert text.startswith("ca_")
    (listed,) = json.loads(call.invoke(app, ["keys", "list", "--json"]).stdout)
    assert (listed["id"], listed["state"], listed["cohorts"]) == (text.split("_")[1], "valid", "heart_disease")
    assert text.split("_", 2)[2] not in json.dumps(listed)
    assert call.invoke(app, ["keys", "revoke", listed["id"], "--reason", "A drill."]).exit_code == 0
    assert json.loads(call.invoke(app, ["keys", "list", "--json"]).stdout)[0]["state"] == "revoked"
    assert call.invoke(app, ["keys", "new", "x", "--right", "root", "--all-cohorts"]).exit_code == 1
    assert call.invoke(app, ["keys", "new", "x", "--right", "predict"]).exit_code == 2


def test_an_open_address_needs_login_and_tls_or_a_trusted_proxy(records: RecordsDatabase) -> None:
    door = KeyDoor(records)
    with pytest.raises(ServerError, match="no TLS"):
        refuse_open_address("10.1.2.3", door=door)
    refuse_open_address("10.1.2.3", door=door, protected=True)
    with pytest.raises(ServerError, match="no login"):
        refuse_open_address("10.1.2.3", door=None, protected=True)
