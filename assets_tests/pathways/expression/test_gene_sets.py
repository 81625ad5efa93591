"""GMT files are read or refused with file and line, and sets are fitted to what was measured."""

from __future__ import annotations

import gzip
import hashlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clinical_assets.pathways.expression.gene_set_files import read_gmt
from clinical_assets.pathways.expression.gene_sets import (
    GeneSetCollection,
    GeneSetError,
    Provenance,
    measured_gene_sets,
)

SOURCE = Provenance("made.gmt", "0" * 64, None, "GMT")


def collection(**sets: str) -> GeneSetCollection:
    return GeneSetCollection(tuple(sets), ("",) * len(sets), tuple(tuple(v.split()) for v in sets.values()), SOURCE)


def write(folder: Path, text: str | bytes, name: str = "sets.gmt") -> Path:
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_a_gmt_file_gives_names_descriptions_genes_and_provenance(tmp_path: Path) -> None:
    path = write(tmp_path, "A\tfirst\tTP53\tBRCA1\n\nB\t\tMYC\n")
    sets = read_gmt(path, version="2026.1")
    assert sets.names == ("A", "B")
    assert sets.descriptions == ("first", "")
    assert sets.genes == (("TP53", "BRCA1"), ("MYC",))
    assert sets.source.file == "sets.gmt"
    assert sets.source.version == "2026.1"
    assert sets.source.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


def test_gzip_byte_order_mark_and_windows_line_ends_change_nothing(tmp_path: Path) -> None:
    plain = read_gmt(write(tmp_path, "A\tx\tTP53\tMYC\nB\ty\tMYC\n"))
    odd = "\ufeffA\tx\tTP53\tMYC\r\nB\ty\tMYC\t\r\n"
    for path in (write(tmp_path, odd, "w.gmt"), write(tmp_path, gzip.compress(odd.encode()), "z.gmt.gz")):
        sets = read_gmt(path)
        assert (sets.names, sets.descriptions, sets.genes) == (plain.names, plain.descriptions, plain.genes)


def test_a_gene_repeated_within_a_set_counts_once_and_is_reported(tmp_path: Path) -> None:
    sets = read_gmt(write(tmp_path, "A\t\tTP53\tMYC\tTP53\n"))
    assert sets.genes == (("TP53", "MYC"),)
    assert sets.repeated_genes == 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"A\tx\tTP53\nA\ty\tMYC\n", "line 2: the name 'A' already stands in line 1"),
        (b"A\tx\tTP53\n\nB MYC\n", "line 3: 'B MYC' has no tab"),
        (b"A\tx\tTP53\n\tx\tMYC\n", "line 2: the set has no name"),
        (b"A\tx\tTP53\nB\t\xff\tMYC\n", "line 2: byte 3 is not utf-8"),
        (b"\n\n", "holds no gene set"),
        (b"\x1f\x8b\x08damaged", "damaged gzip"),
    ],
)
def test_broken_files_are_refused_with_file_and_line(tmp_path: Path, text: bytes, message: str) -> None:
    with pytest.raises(GeneSetError, match=message) as caught:
        read_gmt(write(tmp_path, text))
    assert "sets.gmt" in caught.value.message
    assert caught.value.cure


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("bare.gmt", "A\tTP53\tMYC\nB\tMYC\tKRAS\tTP53\n"),
        ("weights.gmt", "A\tx\tTP53,1.0\tMYC,0.25\nB\ty\tMYC,1\tKRAS,2e-3\tTP53,1.0\n"),
        ("quoted.gmt", '"A"\t"x"\t"TP53"\t"MYC"\n"B"\t"y"\t"MYC"\t"KRAS"\t"TP53"\n'),
        ("commas.gmt", 'A,"x, as they say",TP53,MYC\nB,y,MYC,KRAS,TP53\n'),
        ("columns.gmx", "A\tB\nx\ty\nTP53\tMYC\nMYC\tKRAS\n\tTP53\n"),
    ],
)
def test_sets_are_the_same_however_the_file_is_written(tmp_path: Path, name: str, text: str) -> None:
    sets = read_gmt(write(tmp_path, text, name))
    assert sets.names == ("A", "B")
    assert sets.genes == (("TP53", "MYC"), ("MYC", "KRAS", "TP53"))
    assert bool(sets.remarks) == (name in ("bare.gmt", "weights.gmt"))
    if name == "bare.gmt":
        assert sets.descriptions == ("", "")
        assert read_gmt(write(tmp_path, text, name), descriptions=True).genes == (("MYC",), ("KRAS", "TP53"))


def test_mouse_symbols_against_human_sets_are_refused_as_such() -> None:
    human = collection(A="TP53 MYC KRAS A1BG C1orf112", B="TP53 EGFR")
    mouse = ["Trp53", "Myc", "Kras", "Egfr", "1700001C02Rik"]
    with pytest.raises(GeneSetError, match="symbols of the matrix are written as those of mouse"):
        measured_gene_sets(human, mouse, min_size=1)
    with pytest.raises(GeneSetError, match="symbols of the sets are written as those of mouse"):
        measured_gene_sets(collection(A="Trp53 Myc Kras"), ["TP53", "MYC", "KRAS"], min_size=1)
    with pytest.raises(GeneSetError, match="no set of"):
        measured_gene_sets(collection(A="7157 4609"), mouse, min_size=1)


def test_another_encoding_is_read_when_it_is_named(tmp_path: Path) -> None:
    path = write(tmp_path, "A\tSjögren\tTP53\n".encode("latin-1"))
    assert read_gmt(path, encoding="latin-1").descriptions == ("Sjögren",)


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(GeneSetError, match=r"gone\.gmt cannot be read"):
        read_gmt(tmp_path / "gone.gmt")


def test_size_limits_count_measured_genes_only() -> None:
    sets = collection(small="a b X Y Z", right="a b c", large="a b c d e")
    fitted = measured_gene_sets(sets, ["e", "d", "c", "b", "a"], min_size=3, max_size=4)
    assert fitted.names == ("right",)
    assert fitted.too_small == ("small",)
    assert fitted.too_large == ("large",)
    np.testing.assert_array_equal(fitted.positions[0], [2, 3, 4])


def test_sets_that_became_identical_are_collapsed_and_listed() -> None:
    sets = collection(one="a b X", two="c d", three="b a", four="a b Y")
    fitted = measured_gene_sets(sets, list("abcd"), min_size=1, max_size=9)
    assert fitted.names == ("one", "two")
    assert fitted.collapsed == (("one", ("three", "four")),)
    assert "2 identical" in fitted.statement()


@settings(max_examples=60)
@given(st.lists(st.sets(st.sampled_from("abcdefgh")), min_size=1, max_size=12), st.integers(1, 4))
def test_every_set_is_kept_collapsed_or_outside_the_limits_exactly_once(sets: list[set[str]], least: int) -> None:
    made = collection(**{f"s{i}": " ".join(sorted(s)) for i, s in enumerate(sets)})
    measured = list("abcdef")
    if not any(least <= len(s & set(measured)) <= 5 for s in sets):
        with pytest.raises(GeneSetError, match="no set"):
            measured_gene_sets(made, measured, min_size=least, max_size=5)
        return
    fitted = measured_gene_sets(made, measured, min_size=least, max_size=5)
    twins = [name for _, names in fitted.collapsed for name in names]
    assert sorted([*fitted.names, *twins, *fitted.too_small, *fitted.too_large]) == sorted(made.names)
    assert len({p.tobytes() for p in fitted.positions}) == len(fitted.positions)


def test_foreign_identifiers_are_refused_with_the_share_that_matched() -> None:
    with pytest.raises(GeneSetError, match="1 of its 3 genes are among the 2 measured"):
        measured_gene_sets(collection(A="TP53 MYC 7157"), ["7157", "4609"], min_size=2)


def test_impossible_limits_and_repeated_genes_are_refused() -> None:
    with pytest.raises(GeneSetError, match="size limits 5 to 2"):
        measured_gene_sets(collection(A="a"), ["a"], min_size=5, max_size=2)
    with pytest.raises(GeneSetError, match="1 measured genes are repeated"):
        measured_gene_sets(collection(A="a"), ["a", "a"], min_size=1)
