"""Units used for training stand for those censored before the horizon, so that risks are those of all at risk."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from statsmodels.duration.survfunc import CumIncidenceRight

from assets_tests.worlds.tables.sql_cohorts import INDEX, project_of, validated, with_visits
from clinical_assets.foundation.errors import SqlModelError

Followed = list[tuple[int, str]]
STATUS = {"alive": 0, "event": 1, "other death": 2}


def weighed(folder: Path, followed: Followed, *, horizon: int, landmark: int = 0) -> list[tuple[Any, ...]]:
    """Outcome, exclusion and case weight of people followed for so many days."""
    variables = {
        "time_column": "followed_days",
        "event_column": "status",
        "event_values": ["event"],
        "competing_values": ["other death"],
        "horizon_days": horizon,
    }
    spec = with_visits(landmark_days=landmark, vars=variables)
    people = [(f"p{i:03}", INDEX, 40, days, status) for i, (days, status) in enumerate(followed)]
    connection = validated(spec, {"subjects": people, "visits": []})
    sql = project_of(folder, {}, spec).compile("fixed_horizon").sql
    return connection.execute(f"SELECT outcome, exclusion, case_weight FROM ({sql}) ORDER BY ALL").fetchall()


def incidence(followed: Followed, *, horizon: int) -> float:
    """Aalen-Johansen's risk of the event by the horizon, by statsmodels."""
    days, status = (np.array(each) for each in zip(*[(d, STATUS[s]) for d, s in followed], strict=True))
    found = CumIncidenceRight(days, status)
    until = found.times <= horizon
    return float(found.cinc[0][until][-1]) if until.any() else 0.0


@hypothesis_settings(max_examples=60)
@given(
    followed=st.lists(st.tuples(st.integers(1, 12), st.sampled_from(list(STATUS))), min_size=3, max_size=40),
    horizon=st.integers(1, 10),
)
def test_weighted_events_over_all_at_risk_are_the_risk_by_aalen_johansen(
    tmp_path_factory: pytest.TempPathFactory, followed: Followed, horizon: int
) -> None:
    # Somebody has to be seen until the horizon, and statsmodels wants the event to occur at all.
    assume(any(days > horizon for days, _ in followed) and any(status == "event" for _, status in followed))
    found = weighed(tmp_path_factory.getbasetemp() / "weighed", followed, horizon=horizon)
    used = [(outcome, weight) for outcome, exclusion, weight in found if exclusion is None]
    assert sum(outcome * weight for outcome, weight in used) / len(followed) == pytest.approx(
        incidence(followed, horizon=horizon), abs=1e-9
    )
    assert sum(weight for _, weight in used) == pytest.approx(len(followed), abs=1e-9)


def test_without_anybody_censored_all_count_alike(tmp_path: Path) -> None:
    followed = [(3, "event"), (5, "other death"), (20, "alive"), (30, "event")]
    assert weighed(tmp_path, followed, horizon=10) == [(0, None, 1.0)] * 3 + [(1, None, 1.0)]


def test_time_is_counted_among_those_at_risk_at_the_landmark(tmp_path: Path) -> None:
    later = [(4, "event"), (6, "alive"), (8, "event"), (9, "other death"), (30, "alive")]
    before = [(1, "alive"), (2, "event"), (2, "other death")]
    from_landmark = [(days - 2, status) for days, status in later]
    apart = weighed(tmp_path / "apart", from_landmark, horizon=10)
    together = weighed(tmp_path / "together", before + later, horizon=10, landmark=2)
    assert [row for row in together if row[2] is not None] == [row for row in apart if row[2] is not None]
    assert {row[1] for row in together if row[2] is None} == {
        "censored before the horizon",
        "event before the prediction",
        "competing event before the prediction",
        "follow-up ends before the prediction",
    }


def test_a_competing_event_needs_a_code_that_tells_it_from_the_event(tmp_path: Path) -> None:
    spec = with_visits(vars={"time_column": "followed_days", "event_column": "status", "competing_values": ["alive"]})
    with pytest.raises(SqlModelError, match=r"which values of status mean the event"):
        project_of(tmp_path, {}, spec).compile("fixed_horizon")


def test_of_several_times_the_first_that_is_given_counts_from_the_start_that_is_said(tmp_path: Path) -> None:
    plain = {"event_column": "status", "event_values": ["event"], "horizon_days": 10}
    people = [("p1", INDEX, 40, 43, "event"), ("p2", INDEX, 40, None, "alive"), ("p3", INDEX, 40, 52, "alive")]

    def outcomes(**variables: object) -> list[tuple[Any, ...]]:
        spec = with_visits(landmark_days=0, vars={**plain, **variables})
        connection = validated(spec, {"subjects": people, "visits": []})
        sql = project_of(tmp_path, {}, spec).compile("fixed_horizon").sql
        return connection.execute(f"SELECT outcome, exclusion FROM ({sql}) ORDER BY ALL").fetchall()

    counted = outcomes(time_column="followed_days", start_column="age_years")
    assert counted == [(0, None), (1, None), (None, "follow-up time missing")]
    # Who has no time of follow-up is taken to have been followed for an age: 40 days.
    assert outcomes(time_column=["followed_days", "age_years"]) == [(0, None)] * 3
    with pytest.raises(SqlModelError, match="no column days_of_life"):
        outcomes(time_column=["followed_days", "days_of_life"])
