"""Numbers and names are short, never rounded to nothing, and never markup."""

from __future__ import annotations

import pytest

from clinical_assets.reporting.formats import counted, number, p_value, prose, share, shown, words, wrapped


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "–"),
        (0.0, "0"),
        (3.0, "3"),
        (0.91724, "0.917"),
        (-0.0004, "-0.0004"),
        (12345.678, "12,345.7"),
        (1e-9, "1e-09"),
    ],
)
def test_numbers_are_short_and_never_rounded_to_nothing(value: float | None, text: str) -> None:
    assert number(value) == text


def test_shares_keep_number_and_sign_together() -> None:
    assert share(0.2) == "20\N{NO-BREAK SPACE}%"
    assert share(0.0835) == "8.3\N{NO-BREAK SPACE}%"
    assert share(None) == "unbounded"


def test_a_count_agrees_with_its_noun() -> None:
    assert [counted(n, "batch", "batches") for n in (0, 1, 2)] == ["0 batches", "1 batch", "2 batches"]
    assert counted(1_200, "test") == "1,200 tests"


def test_p_values_below_what_can_be_told_apart_are_said_to_be() -> None:
    assert [p_value(p) for p in (None, 0.0, 4e-5, 0.25)] == ["–", "< 1e-12", "4.0e-05", "0.250"]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("crp_mg_l", "crp (mg/L)"),
        ("systolic_blood_pressure_mean_mmhg", "systolic blood pressure mean (mmHg)"),
        ("age_years", "age (years)"),
        ("calibration_slope", "calibration slope"),
        ("tpr_difference", "TPR difference"),
        ("auroc", "AUROC"),
        ("kg", "kg"),
    ],
)
def test_names_are_words_with_their_unit(name: str, text: str) -> None:
    assert words(name) == text


def test_prose_keeps_everything_but_code_names() -> None:
    told = "2 of 6 features drift: age_years, crp_mg_l. Worse: auroc_change[sex=f]; see a/b_c.json."
    assert prose(told, {"auroc_change": "change of the AUROC"}) == (
        "2 of 6 features drift: age (years), crp (mg/L). Worse: change of the AUROC[sex=f]; see a/b_c.json."
    )


def test_a_name_with_breaks_is_escaped() -> None:
    assert str(wrapped("<b>_x[y=1]")) == "&lt;b&gt;_<wbr>x<wbr>[y=<wbr>1]"


def test_cells_of_unknown_type_are_readable() -> None:
    assert [shown(v) for v in (None, "", True, 0.123456, 7, "x")] == ["–", "–", "yes", "0.1235", "7", "x"]
