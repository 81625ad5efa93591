"""The pointer names one champion, is old or new and nothing between, and leads to the bundle that its digest names."""

from __future__ import annotations

import json
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from assets_tests.worlds.machine.tracked import ROWS, small_bundle
from assets_tests.worlds.ward.released import flip_a_byte
from clinical_assets.foundation.settings import Settings
from clinical_assets.modelling.bundle.bundle import Bundle
from clinical_assets.modelling.bundle.bundle_files import BundleError
from clinical_assets.modelling.champion import champion_pointer
from clinical_assets.modelling.champion.champion_pointer import (
    POINTER,
    Champion,
    ChampionError,
    bundle_of,
    current,
    keep_warm,
    switch,
)

COHORT = "heart"


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return small_bundle(tmp_path_factory.mktemp("trained") / "bundle", COHORT)


def _champion(digest: str, *previous: str) -> Champion:
    return Champion(
        cohort=COHORT,
        digest=digest,
        since="2026-01-01T00:00:00.000000+00:00",
        by="bob",
        previous=previous,
        promotion="an id",
    )


def _pointer(settings: Settings) -> Path:
    return settings.serving / COHORT / POINTER


def test_nothing_serves_until_the_pointer_is_switched(settings: Settings, bundle: Bundle) -> None:
    assert current(settings, COHORT) is None
    champion = _champion(bundle.digest, "sha256:" + "1" * 64)
    switch(settings, champion)
    assert current(settings, COHORT) == champion
    # Servers run under another account.
    assert _pointer(settings).stat().st_mode & 0o044 == 0o044


def test_a_reader_sees_one_champion_or_the_other_while_the_pointer_is_switched(settings: Settings) -> None:
    both = [_champion("sha256:" + letter * 64) for letter in "ab"]
    switch(settings, both[0])
    over = threading.Event()

    def write() -> None:
        for number in range(200):
            switch(settings, both[number % 2])
        over.set()

    writer = threading.Thread(target=write)
    writer.start()
    seen = set()
    while not over.is_set():
        seen.add(current(settings, COHORT))
    writer.join()
    assert seen <= set(both)
    assert [path.name for path in _pointer(settings).parent.iterdir()] == [POINTER]


def test_a_switch_that_fails_leaves_the_old_pointer_and_no_scrap(settings: Settings) -> None:
    old = _champion("sha256:" + "a" * 64)
    switch(settings, old)
    with pytest.raises(ValueError, match="serialize"):
        switch(settings, old.model_copy(update={"by": object()}))
    assert current(settings, COHORT) == old
    assert [path.name for path in _pointer(settings).parent.iterdir()] == [POINTER]


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"cohort": "heart"}', "\x00"])
def test_a_pointer_that_cannot_be_read_is_an_error_and_not_no_champion(settings: Settings, content: str) -> None:
    _pointer(settings).parent.mkdir(parents=True)
    _pointer(settings).write_text(content)
    with pytest.raises(ChampionError, match=POINTER):
        current(settings, COHORT)


def test_the_pointer_of_another_cohort_is_refused(settings: Settings) -> None:
    switch(settings, _champion("sha256:" + "a" * 64))
    other = settings.serving / "lung" / POINTER
    other.parent.mkdir()
    other.write_bytes(_pointer(settings).read_bytes())
    with pytest.raises(ChampionError, match="heart"):
        current(settings, "lung")


class TestWarmBundles:
    def test_a_warm_copy_scores_as_the_bundle_does_and_is_found_by_champion_and_by_digest(
        self, settings: Settings, bundle: Bundle
    ) -> None:
        kept = keep_warm(settings, bundle)
        assert kept.folder == settings.bundles / COHORT / bundle.digest.removeprefix("sha256:")
        assert keep_warm(settings, bundle).folder == kept.folder
        for found in (bundle_of(settings, _champion(bundle.digest)), bundle_of(settings, bundle.digest)):
            assert found.digest == bundle.digest
            assert (found.score(ROWS) == bundle.score(ROWS)).all()
        assert [path.name for path in kept.folder.parent.iterdir()] == [kept.folder.name]

    def test_a_changed_byte_is_found_before_anything_is_scored(self, settings: Settings, bundle: Bundle) -> None:
        flip_a_byte(keep_warm(settings, bundle).folder / "model.onnx")
        for look in (
            lambda: bundle_of(settings, bundle.digest),
            lambda: bundle_of(settings, _champion(bundle.digest)),
            lambda: keep_warm(settings, bundle),
        ):
            with pytest.raises(BundleError, match=r"model\.onnx was changed"):
                look()

    def test_another_bundle_in_its_place_is_refused(self, settings: Settings, bundle: Bundle, tmp_path: Path) -> None:
        other = small_bundle(tmp_path / "other", COHORT, note="another")
        place = keep_warm(settings, bundle).folder
        keep_warm(settings, other).folder.rename(place.with_name("aside"))
        place.rename(place.with_name("old"))
        place.with_name("aside").rename(place)
        with pytest.raises(ChampionError, match=other.digest):
            bundle_of(settings, bundle.digest)

    def test_a_digest_is_never_a_path(self, settings: Settings, bundle: Bundle) -> None:
        keep_warm(settings, bundle)
        for digest in ("sha256:../../x", "", "sha256:" + "A" * 64, "*", "sha256:" + "a" * 63):
            with pytest.raises(ChampionError, match="no digest"):
                bundle_of(settings, digest)
        with pytest.raises(ChampionError, match="does not lie"):
            bundle_of(settings, "sha256:" + "a" * 64)


def test_who_waits_too_long_for_a_cohort_is_told(settings: Settings) -> None:
    impatient = replace(settings, lock_patience_s=0.05)
    told: list[str] = []

    def wait() -> None:
        with pytest.raises(ChampionError) as error, champion_pointer.hold(impatient, COHORT):
            pass
        told.append(error.value.message)

    with champion_pointer.hold(settings, COHORT):
        other = threading.Thread(target=wait)
        other.start()
        other.join()
    assert COHORT in told[0]
    with champion_pointer.hold(impatient, COHORT):
        pass


def test_what_the_pointer_holds_is_plain(settings: Settings) -> None:
    champion = _champion("sha256:" + "a" * 64, "sha256:" + "b" * 64)
    switch(settings, champion)
    told = json.loads(_pointer(settings).read_text())
    assert Champion.of(told, where="the pointer") == champion
    assert set(told) == {"format", "cohort", "digest", "since", "by", "previous", "promotion"}
