"""A cohort out of people and events: index event, follow-up, outcome, and the codes worth a feature.

What belongs here: the rules in SQL, without a loop over rows. Nothing looks at the outcome to choose a code.
"""

from __future__ import annotations

from dataclasses import dataclass

from clinical_assets.standard_input.record_set import RecordSet, StandardInputError
from clinical_assets.warehouse.store.sql_text import literal, slug

#: Named as an outcome, it is the death date of people, not a code.
DEATH = "death"
EVENT, DIED, ENDED = "event", "death", "end of records"


@dataclass(frozen=True)
class CohortRules:
    """Who is in the cohort, what is predicted, and from what.

    Attributes
    ----------
    index : tuple of str
        Codes; the first event with one of them is the index event.
    outcome : tuple of str
        Codes of the outcome, or ``death``.
    horizon_days : int
        How far the prediction looks.
    lookback_days : int
        Window before the index date in which events are counted.
    history_days : int
        Records that a person must have before the index event; who has fewer is left out.
    counted, valued : int
        At most so many codes that are counted, and whose newest value is taken.
    least_people : int
        A code that fewer people have, or that fewer lack, is no feature.
    """

    index: tuple[str, ...]
    outcome: tuple[str, ...]
    horizon_days: int
    lookback_days: int = 365
    history_days: int = 0
    counted: int = 40
    valued: int = 20
    least_people: int = 20


@dataclass(frozen=True)
class CodedFeature:
    """One code that becomes a feature.

    Attributes
    ----------
    code, name : str
        The code and its words; the code where nothing names it.
    people : int
        With such an event in the window.
    unit : str or None
        Of a value, the most frequent one; values in another unit are not taken.
    """

    code: str
    name: str
    people: int
    unit: str | None = None


@dataclass(frozen=True)
class DerivedCohort:
    """What the rules made; the tables ``cohort_subjects`` and ``cohort_events`` lie on the record set's connection.

    Attributes
    ----------
    people : int
        In the folder.
    indexed : int
        With an index event.
    short_history : int
        Left out because their records begin too late.
    units : int
        In the cohort.
    had_outcome : int
        Of them, whose outcome came on the index date or before it: known, counted, and not predicted.
    events, deaths, censored : int
        Of the others, with the outcome within the horizon, with death before it, or not followed so far.
    counted, valued : tuple of CodedFeature
        Codes that become features.
    other_units : int
        Values that are not taken because their unit is not the code's most frequent one.
    """

    people: int
    indexed: int
    short_history: int
    units: int
    had_outcome: int
    events: int
    deaths: int
    censored: int
    counted: tuple[CodedFeature, ...]
    valued: tuple[CodedFeature, ...]
    other_units: int


def derive_cohort(records: RecordSet, rules: CohortRules) -> DerivedCohort:
    """Make the two tables of a cohort.

    Raises
    ------
    StandardInputError
        A code does not occur, nobody is left, or the outcome never comes within the horizon.
    """
    connection = records.connection
    for what, codes in (("index", rules.index), ("outcome", rules.outcome)):
        if codes != (DEATH,) and not records.number(f"SELECT count(*) FROM events WHERE code IN {literal(codes)}"):
            raise StandardInputError(
                f"No event has the {what} code {', '.join(codes)}.{_alike(records, codes)}",
                cure="Codes are written SYSTEM/code (FHIR), OMOP/concept id (OMOP), or as in the dataset (MEDS).",
            )
    dies = rules.outcome == (DEATH,)
    outcome = (
        "SELECT subject_id, death_date AS outcome_date FROM people WHERE death_date IS NOT NULL"
        if dies
        else f"SELECT subject_id, min(event_date) AS outcome_date FROM events WHERE code IN {literal(rules.outcome)} "
        "GROUP BY subject_id"
    )
    death = "CAST(NULL AS DATE)" if dies else "p.death_date"
    connection.execute(
        "CREATE OR REPLACE TEMP TABLE indexed AS SELECT i.*, p.birth_date, p.sex, o.outcome_date, "
        f"{death} AS death_date, coalesce(p.death_date, p.observed_until) AS ended_on FROM (SELECT subject_id, "
        f"min(event_date) FILTER (WHERE code IN {literal(rules.index)}) AS index_date, min(event_date) AS first_date "
        f"FROM events GROUP BY subject_id) AS i JOIN people AS p USING (subject_id) LEFT JOIN ({outcome}) AS o "
        "USING (subject_id) WHERE i.index_date IS NOT NULL"
    )
    enough = f"index_date - first_date >= {rules.history_days}"
    connection.execute(
        "CREATE OR REPLACE TABLE cohort_subjects AS SELECT subject_id, index_date, "
        "date_sub('year', birth_date, index_date) AS age_years, sex, "
        "date_diff('day', index_date, least(outcome_date, death_date, ended_on)) AS followed_days, "
        f"CASE WHEN outcome_date <= least(coalesce(death_date, outcome_date), ended_on) THEN '{EVENT}' "
        f"WHEN death_date <= ended_on THEN '{DIED}' ELSE '{ENDED}' END AS ended_by "
        f"FROM indexed WHERE {enough} ORDER BY subject_id"
    )
    if not (units := records.number("SELECT count(*) FROM cohort_subjects")):
        raise StandardInputError("Nobody is left in the cohort.", cure="Ask for less history before the index event.")
    counted, valued = _features(records, rules)
    other_units = _events(records, rules, counted, valued)
    free = "followed_days > 0"
    within = f"followed_days <= {rules.horizon_days}"
    made = DerivedCohort(
        people=records.number("SELECT count(*) FROM people"),
        indexed=records.number("SELECT count(*) FROM indexed"),
        short_history=records.number(f"SELECT count(*) FROM indexed WHERE NOT ({enough})"),
        units=units,
        had_outcome=records.number(f"SELECT count(*) FROM cohort_subjects WHERE NOT ({free}) AND ended_by = '{EVENT}'"),
        events=records.number(
            f"SELECT count(*) FROM cohort_subjects WHERE {free} AND {within} AND ended_by = '{EVENT}'"
        ),
        deaths=records.number(
            f"SELECT count(*) FROM cohort_subjects WHERE {free} AND {within} AND ended_by = '{DIED}'"
        ),
        censored=records.number(
            f"SELECT count(*) FROM cohort_subjects WHERE {free} AND followed_days < {rules.horizon_days} "
            f"AND ended_by = '{ENDED}'"
        ),
        counted=counted,
        valued=valued,
        other_units=other_units,
    )
    if not made.events:
        raise StandardInputError(
            f"Nobody of {units} has the outcome within {rules.horizon_days} days of the index date.",
            cure="Name other codes, or a longer horizon.",
        )
    return made


def _alike(records: RecordSet, codes: tuple[str, ...]) -> str:
    """Codes whose words or text hold what was asked for, for whoever knows the words and not the code."""
    words = " OR ".join(
        f"contains(lower(concat_ws(' ', e.code, n.name)), {literal(code.split('/')[-1].lower())})" for code in codes
    )
    rows = records.connection.execute(
        "SELECT e.code || coalesce(' (' || any_value(n.name) || ')', '') FROM events AS e "
        f"LEFT JOIN code_names AS n USING (code) WHERE {words} GROUP BY e.code ORDER BY count(*) DESC LIMIT 5"
    ).fetchall()
    return f" Do you mean {'; '.join(str(row[0]) for row in rows)}?" if rows else ""


def _features(records: RecordSet, rules: CohortRules) -> tuple[tuple[CodedFeature, ...], tuple[CodedFeature, ...]]:
    """Codes by how many people have them in the window before the index date; each gives one name to a column."""
    known = (
        "FROM events AS e JOIN cohort_subjects AS s USING (subject_id) LEFT JOIN code_names AS n USING (code) "
        f"WHERE e.event_date BETWEEN s.index_date - {rules.lookback_days} AND s.index_date "
        f"AND e.code NOT IN {literal((*rules.index, *rules.outcome))}"
    )
    units = records.number("SELECT count(*) FROM cohort_subjects")
    most = units - rules.least_people
    rows = records.connection.execute(
        f"SELECT e.code, any_value(n.name), count(DISTINCT subject_id) AS people, "
        f"count(DISTINCT subject_id) FILTER (WHERE e.value IS NOT NULL) AS valued, mode(e.unit) {known} "
        f"GROUP BY e.code HAVING people >= {rules.least_people} ORDER BY people DESC, e.code"
    ).fetchall()
    counted: dict[str, CodedFeature] = {}
    valued: dict[str, CodedFeature] = {}
    for code, name, people, with_value, unit in rows:
        column = slug(code)
        if 2 * with_value >= people and with_value >= rules.least_people:
            if len(valued) < rules.valued:
                valued.setdefault(column, CodedFeature(code, name or code, with_value, unit))
        elif people <= most and len(counted) < rules.counted:
            counted.setdefault(column, CodedFeature(code, name or code, people))
    return tuple(counted.values()), tuple(valued.values())


def _events(
    records: RecordSet, rules: CohortRules, counted: tuple[CodedFeature, ...], valued: tuple[CodedFeature, ...]
) -> int:
    """All events with a code that is a feature, later ones too: to hide those is the work of the guard."""
    codes = tuple(each.code for each in (*counted, *valued))
    if not codes:
        raise StandardInputError(
            f"No code occurs in {rules.least_people} people or more before the index date.",
            cure="Ask for fewer people per code, or look further back.",
        )
    units = {each.code: each.unit for each in valued if each.unit is not None}
    listed = ", ".join(f"({literal(code)}, {literal(unit)})" for code, unit in units.items()) or "('', '')"
    other = "u.unit IS NOT NULL AND e.unit IS DISTINCT FROM u.unit AND e.value IS NOT NULL"
    source = (
        "FROM events AS e JOIN cohort_subjects AS s USING (subject_id) "
        f"LEFT JOIN (VALUES {listed}) AS u (code, unit) ON u.code = e.code WHERE e.code IN {literal(codes)}"
    )
    others = records.number(f"SELECT count(*) {source} AND {other}")
    records.connection.execute(
        "CREATE OR REPLACE TABLE cohort_events AS SELECT subject_id, "
        "row_number() OVER (PARTITION BY subject_id ORDER BY e.event_date, e.code, e.value) AS event_number, "
        f"e.event_date, e.code, CASE WHEN {other} THEN NULL ELSE e.value END AS value {source} "
        "ORDER BY subject_id, event_number"
    )
    return others
