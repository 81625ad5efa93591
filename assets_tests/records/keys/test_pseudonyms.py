"""Pseudonyms: stable, unlinkable without keys, gone with the subject's key, and versioned."""

from __future__ import annotations

import hashlib
import hmac
import stat
from pathlib import Path

import duckdb
import polars as pl
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from clinical_assets.foundation.settings import Settings
from clinical_assets.records.keys.pseudonyms import PseudonymError, Pseudonyms


@pytest.fixture
def pseudonyms(settings: Settings) -> Pseudonyms:
    return Pseudonyms(settings, "ward")


def stored(pseudonyms: Pseudonyms, sql: str) -> list[tuple[object, ...]]:
    with duckdb.connect(str(pseudonyms.keys.path), read_only=True) as connection:
        return connection.execute(sql).fetchall()


@hypothesis_settings(max_examples=15)
@given(st.lists(st.one_of(st.none(), st.text(min_size=1, max_size=80)), max_size=20))
def test_a_pseudonym_is_the_hmac_of_cohort_and_identifier_under_the_subjects_own_key(
    tmp_path: Path, settings: Settings, identifiers: list[str | None]
) -> None:
    pseudonyms = Pseudonyms(settings, "ward")

    names = pseudonyms.of(pl.Series(identifiers, dtype=pl.String))

    ((lookup_key,),) = stored(pseudonyms, "SELECT key FROM lookup_key")
    keys = dict(stored(pseudonyms, "SELECT lookup, key FROM subject_keys"))
    assert names.len() == len(identifiers)
    for identifier, name in zip(identifiers, names, strict=True):
        text = pl.Series([identifier], dtype=pl.String).str.strip_chars()[0]
        if not text:
            assert name is None
            continue
        lookup = hmac.digest(lookup_key, text.encode(), hashlib.sha256)
        assert name == "p1_" + hmac.digest(keys[lookup], f"ward|{text}".encode(), hashlib.sha256).hex()[:32]


def test_pseudonyms_stay_differ_between_subjects_and_are_unrelated_between_cohorts(settings: Settings) -> None:
    ward, clinic = Pseudonyms(settings, "ward"), Pseudonyms(settings, "clinic")
    identifiers = pl.Series(range(5000))

    names = ward.of(identifiers)

    assert ward.of(identifiers.reverse()).reverse().to_list() == names.to_list()
    assert names.n_unique() == 5000
    assert not set(names) & set(clinic.of(identifiers))
    assert ward.of([" 7 ", "7"]).to_list() == [names[7], names[7]]


def test_keys_lie_apart_from_the_data_where_only_this_account_reads_them(
    settings: Settings, pseudonyms: Pseudonyms
) -> None:
    pseudonyms.of(["SECRET-0001"])

    assert not pseudonyms.keys.path.is_relative_to(settings.data)
    assert stat.S_IMODE(settings.keys.stat().st_mode) == 0o700
    assert stat.S_IMODE(pseudonyms.keys.path.stat().st_mode) == 0o600
    assert b"SECRET-0001" not in pseudonyms.keys.path.read_bytes()


def test_erasing_destroys_the_key_in_every_byte_of_the_file_and_leaves_a_tombstone(pseudonyms: Pseudonyms) -> None:
    names = pseudonyms.of(["a", "b"])
    keys = dict(stored(pseudonyms, "SELECT lookup, key FROM subject_keys"))
    gone = keys[bytes.fromhex(pseudonyms.lookup("a"))]
    assert gone in pseudonyms.keys.path.read_bytes()

    assert pseudonyms.erase("a") == names[0]

    assert gone not in pseudonyms.keys.path.read_bytes()
    assert pseudonyms.of(["a", "b"]).to_list() == [None, names[1]]
    assert pseudonyms.erased(["a", "b", None]).to_list() == [True, False, False]
    assert pseudonyms.all_of("a") == ()
    assert pseudonyms.erase("a") is None


def test_nobody_is_erased_and_no_file_is_made_by_asking(pseudonyms: Pseudonyms) -> None:
    assert pseudonyms.erased(["a"]).to_list() == [False]
    assert not pseudonyms.any_erased()
    assert not pseudonyms.keys.exists()


def test_rotation_gives_new_names_and_older_ones_can_be_resolved_until_retired(pseudonyms: Pseudonyms) -> None:
    first = pseudonyms.of(["a", "b"])
    pseudonyms.erase("b")

    assert pseudonyms.rotate() == 2

    second = pseudonyms.of(["a", "b", "c"])
    assert second[0].startswith("p2_")
    assert second[1] is None
    assert pseudonyms.of(["a", "b", "c"], version=1).to_list() == [first[0], None, None]
    assert pseudonyms.all_of("a") == (second[0], first[0])
    assert pseudonyms.retire(1) == 1
    assert pseudonyms.of(["a"])[0] == second[0]
    for version in (1, 3):
        with pytest.raises(PseudonymError, match=f"no version {version}"):
            pseudonyms.of(["a"], version=version)
    with pytest.raises(PseudonymError, match="current one"):
        pseudonyms.retire(2)


def test_erasing_after_a_rotation_destroys_the_keys_of_every_version(pseudonyms: Pseudonyms) -> None:
    pseudonyms.of(["a"])
    pseudonyms.rotate()
    names = pseudonyms.all_of("a")

    assert len(names) == 2
    assert pseudonyms.erase("a") == names[0]
    assert stored(pseudonyms, "SELECT count(*) FROM subject_keys") == [(0,)]


@pytest.mark.parametrize("identifiers", [[1.5], [True]])
def test_what_can_be_written_in_several_ways_is_no_identifier(
    pseudonyms: Pseudonyms, identifiers: list[object]
) -> None:
    with pytest.raises(PseudonymError, match="have no pseudonym"):
        pseudonyms.of(identifiers)
