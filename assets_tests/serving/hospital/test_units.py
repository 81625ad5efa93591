"""Units: converted where the factor is a definition, and only then."""

from __future__ import annotations

from fractions import Fraction

import pytest

from clinical_assets.serving.hospital.units import converted, factor


@pytest.mark.parametrize(
    ("given", "wanted", "by"),
    [
        ("mg/dL", "mg/dL", 1),
        ("mg/dL", "mg/dl", 1),
        ("g/L", "mg/dL", 100),
        ("mg/L", "ug/mL", 1),
        ("umol/L", "mmol/L", Fraction(1, 1000)),
        ("cm", "m", Fraction(1, 100)),
        ("kg", "g", 1000),
        ("[lb_av]", "kg", Fraction("0.45359237")),
        ("[in_i]", "cm", Fraction("2.54")),
        ("kPa", "mm[Hg]", Fraction(1000) / Fraction("133.322")),
        ("cm[H2O]", "Pa", Fraction("98.0665")),
        ("{beats}/min", "/min", 1),
        ("Hz", "/min", None),
        ("/s", "/min", 60),
        ("10*9/L", "10*3/uL", 1),
        ("10*6/L", "/uL", 1),
        ("%", "1", Fraction(1, 100)),
        ("kg/m2", "g/cm2", Fraction(1, 10)),
        ("g.m-2", "g/m2", 1),
        ("h", "min", 60),
        ("mmol/L", "mg/dL", None),
        ("meq/L", "mmol/L", None),
        ("Cel", "[degF]", None),
        ("[IU]/L", "U/L", None),
        ("a", "d", None),
        ("mo", "a", None),
        ("mg", "mg/dL", None),
        ("", "1", 1),
        ("1/0", "1", None),
        ("0", "1", None),
        ("//", "1", None),
        ("mg/dL ", "mg/dL", None),
        ("10*999999999", "1", None),
    ],
)
def test_a_factor_is_known_where_it_is_exact(given: str, wanted: str, by: Fraction | int | None) -> None:
    assert factor(given, wanted) == by


def test_a_number_is_converted_from_the_decimals_that_were_written() -> None:
    assert converted(1.1, Fraction(100)) == 110.0
    assert converted(170, Fraction(1, 100)) == 1.7
    assert converted(0.1 + 0.2, Fraction(1)) == 0.1 + 0.2
