"""A class that a model never decides for is a failure; one of few rows is a question."""

from __future__ import annotations

import numpy as np

from clinical_assets.governance.gates.performance.classes import judge_classes
from clinical_assets.governance.verdicts.verdict import Verdict

LABELS = ("none", "compensated", "severe")


def judged(
    decided: np.ndarray, *, y: np.ndarray | None = None, subjects: np.ndarray | None = None
) -> dict[str, Verdict]:
    truth = np.repeat([0, 1, 2], [200, 60, 40]) if y is None else y
    found = judge_classes(truth, decided, LABELS, least=20, subjects=subjects)
    assert [each.criterion for each in found] == [f"class_recall[{label}]" for label in LABELS]
    return dict(zip(LABELS, found, strict=True))


def test_a_class_that_is_never_decided_fails_and_the_others_do_not() -> None:
    found = judged(np.repeat([0, 0, 2], [200, 60, 40]))
    assert [each.verdict for each in found.values()] == ["pass", "fail", "pass"]
    assert "never decided for any of 300 rows, although 60 have it" in found["compensated"].reason
    assert "decisions.class_costs" in found["compensated"].reason
    assert found["compensated"].evidence["its rows were decided as"] == {"none": 60}
    assert (found["compensated"].value, found["compensated"].ci_low) == (0.0, 0.0)


def test_a_class_that_is_decided_but_for_others_alone_fails_too() -> None:
    found = judged(np.repeat([1, 0, 2], [200, 60, 40]))
    assert found["compensated"].verdict == "fail"
    assert "None of the 60 rows" in found["compensated"].reason


def test_one_row_recognised_is_enough_to_be_no_failure() -> None:
    decided = np.repeat([0, 0, 2], [200, 60, 40])
    decided[230] = 1
    assert judged(decided)["compensated"].verdict == "pass"


def test_an_interval_over_subjects_that_touches_0_is_a_question() -> None:
    decided = np.repeat([0, 0, 2], [200, 60, 40])
    decided[200:203] = 1
    subjects = np.arange(300)
    subjects[200:203] = 200  # three visits of one person are all that was recognised
    assert judged(decided, subjects=subjects)["compensated"].verdict == "insufficient"


def test_few_rows_or_none_are_insufficient_and_said_to_be_never_decided() -> None:
    y = np.repeat([0, 1], [200, 19])
    found = judged(np.zeros(219, dtype=np.int64), y=y)
    assert [each.verdict for each in found.values()] == ["pass", "insufficient", "insufficient"]
    assert "never decided" in found["compensated"].reason
    assert "19 rows" in found["compensated"].reason
    assert "no row" in found["severe"].reason
