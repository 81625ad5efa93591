"""Texts of pages: every language says everything, and another language is a file."""

from __future__ import annotations

import re
import shutil
import tomllib
from pathlib import Path

import pytest
from babel.messages.catalog import Catalog
from babel.messages.extract import extract_from_dir
from babel.messages.pofile import read_po

from assets_tests.worlds.machine.processes import ROOT
from clinical_assets.reporting import texts

PLACEHOLDER = re.compile(r"%\(\w+\)s|%%")


def written() -> set[str]:
    """Every text of templates and pages, as `make texts` finds them."""
    mappings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["babel"]["mappings"]
    found = extract_from_dir(ROOT / "clinical_assets", [(each["pattern"], each["method"]) for each in mappings], {})
    return {message if isinstance(message, str) else message[0] for _, _, message, _, _ in found}


def catalogue(path: Path) -> Catalog:
    with path.open("rb") as file:
        return read_po(file, abort_invalid=True)


@pytest.mark.parametrize("path", sorted(texts.LANGUAGES.glob("*.po")), ids=lambda path: path.stem)
def test_a_language_says_everything_and_nothing_else_with_the_same_values_in_it(path: Path) -> None:
    found = catalogue(path)
    said = {str(message.id): str(message.string) for message in found if message.id}
    assert said.keys() == written()
    assert [message.id for message in found if message.fuzzy and message.id] == []
    for text, translated in said.items():
        assert translated.strip(), text
        assert sorted(PLACEHOLDER.findall(text)) == sorted(PLACEHOLDER.findall(translated)), text


def test_another_language_is_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copy(texts.LANGUAGES / "de.po", tmp_path / "de.po")
    (tmp_path / "fr.po").write_text('msgid ""\nmsgstr "Language: fr\\n"\n\nmsgid "Sign in"\nmsgstr "Se connecter"\n')
    monkeypatch.setattr(texts, "LANGUAGES", tmp_path)
    texts.languages.cache_clear()
    texts._catalogue.cache_clear()
    try:
        assert texts.languages() == ("en", "de", "fr")
        assert texts.preferred("it, fr;q=0.9, en;q=0.8") == "fr"
        with texts.speaking("fr"):
            assert texts.gettext("Sign in") == "Se connecter"
            # What a catalogue lacks is shown as it is.
            assert texts.gettext("Sign out") == "Sign out"
            assert texts.decimal(1.5) == "1,5"
        assert texts.gettext("Sign in") == "Sign in"
    finally:
        texts.languages.cache_clear()
        texts._catalogue.cache_clear()


def test_a_language_that_there_is_not_is_english() -> None:
    with texts.speaking("xx"):
        assert texts.language() == "en"
    assert texts.preferred("xx, ;;q=nonsense, *" + "x" * 1000) == "en"
