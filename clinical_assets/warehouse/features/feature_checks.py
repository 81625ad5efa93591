"""What must never reach a model, and how it is refused.

Each function looks at one promise of ``model.features`` or ``model.outcomes`` and names the model's file, the count and
the cure.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from clinical_assets.cohorts.decisions import word_feature
from clinical_assets.cohorts.spec import CohortSpec
from clinical_assets.cohorts.tables import CASE_WEIGHT, EVENT_CODE, FOLLOW_UP_DAYS
from clinical_assets.foundation.errors import InsufficientData, SqlModelError
from clinical_assets.warehouse.sql.lineage import trace
from clinical_assets.warehouse.sql.model import CompiledModel
from clinical_assets.warehouse.sql.schema import readable_schema
from clinical_assets.warehouse.store.sql_text import quoted

if TYPE_CHECKING:
    import duckdb

FEATURES = "model.features"
OUTCOMES = "model.outcomes"
_NUMERIC = ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT", "FLOAT", "DOUBLE", "DECIMAL", "BOOLEAN")
_RESERVED = ("outcome", "exclusion")


def _shown(compiled: CompiledModel) -> str:
    return compiled.parts[-1].model.shown


def feature_columns_of(spec: CohortSpec, features: CompiledModel, types: dict[str, str]) -> tuple[str, ...]:
    """The columns of a feature model that are features, in its order: all but the key.

    Raises
    ------
    SqlModelError
        A key column is missing, there is no feature, or a feature is no number.
    """
    missing = [name for name in spec.key if name not in types]
    if missing:
        raise SqlModelError(
            f"{_shown(features)}: does not yield the key column {missing[0]!r}.",
            cure=f"Select {', '.join(spec.key)}, which name the prediction unit.",
        )
    names = tuple(name for name in types if name not in spec.key)
    if not names:
        raise SqlModelError(f"{_shown(features)}: yields no feature.", cure="Select at least one numeric column.")
    for name in names:
        kind = types[name].split("(")[0].removeprefix("U")
        if kind not in _NUMERIC:
            raise SqlModelError(
                f"{_shown(features)}: feature {name!r} is {types[name]}, not a number.",
                cure="Turn categories into 0/1 columns and dates into days; leave out what is neither.",
            )
        if name in _RESERVED or name != name.lower():
            raise SqlModelError(
                f"{_shown(features)}: {name!r} cannot be a feature's name.",
                cure=f"Use lower case, and neither of {', '.join(_RESERVED)}.",
            )
    return names


def refuse_identifiers(spec: CohortSpec, features: CompiledModel, names: Sequence[str]) -> None:
    """No feature may be made of an identifier's value; counting or joining by one is fine."""
    values = trace(features.sql, readable_schema(spec), outputs=names, values_only=True)
    if values.untraced:
        raise SqlModelError(
            f"{_shown(features)}: where {', '.join(values.untraced[:5])} comes from cannot be traced, so identifiers "
            "cannot be ruled out.",
            cure="Write out what PIVOT, COLUMNS(...) or a position stands for, such as max(x) FILTER (WHERE k = 'a').",
        )
    for name in names:
        for table, column in values.columns[name]:
            if "identifier" in spec.tables[table].columns[column].role:
                raise SqlModelError(
                    f"{_shown(features)}: feature {name!r} is made of {table}.{column}, which identifies a person.",
                    cure="Leave it out. Counting rows or joining by an identifier is fine; its value is no feature.",
                )


#: Columns that an outcome model may yield besides, with the type under which they are stored.
OUTCOME_EXTRAS = {CASE_WEIGHT: "DOUBLE", FOLLOW_UP_DAYS: "DOUBLE", EVENT_CODE: "INTEGER"}


def check_outcome_columns(spec: CohortSpec, outcome: CompiledModel, types: dict[str, str]) -> None:
    """Refuse an outcome model that yields anything but the key, ``outcome``, ``exclusion`` and `OUTCOME_EXTRAS`.

    ``outcome`` is a class number; ``case_weight`` says for how many units a used one stands, such as those censored;
    ``follow_up_days`` and ``event_code`` say how long a unit at risk was followed and what ended it.

    Raises
    ------
    SqlModelError
        Columns that differ, an outcome that is no integer, or a weight that is no number.
    """
    wanted = (*spec.key, "outcome", "exclusion")
    if set(types) - set(OUTCOME_EXTRAS) != set(wanted):
        raise SqlModelError(
            f"{_shown(outcome)}: yields {', '.join(types)}.",
            cure=f"An outcome model yields {', '.join(wanted)}, a {CASE_WEIGHT} where units count unequally, "
            f"{FOLLOW_UP_DAYS} and {EVENT_CODE} where it is a time to an event, and nothing else.",
        )
    if types.get(CASE_WEIGHT, "DOUBLE").split("(")[0] not in ("FLOAT", "DOUBLE", "DECIMAL"):
        raise SqlModelError(
            f"{_shown(outcome)}: {CASE_WEIGHT} is {types[CASE_WEIGHT]}.", cure="Yield a DOUBLE above 0."
        )
    kind = types["outcome"].split("(")[0].removeprefix("U")
    if kind not in (*_NUMERIC, '"NULL"') or kind in ("FLOAT", "DOUBLE", "DECIMAL"):
        raise SqlModelError(
            f"{_shown(outcome)}: outcome is {types['outcome']}, not a class number.",
            cure="Yield 0, 1, ... as integers: " + _classes(spec),
        )


def _classes(spec: CohortSpec) -> str:
    return ", ".join(f"{index} = {label}" for index, label in enumerate(spec.target.classes))


def check_units(connection: duckdb.DuckDBPyConnection, spec: CohortSpec, relation: str, compiled: CompiledModel) -> int:
    """Every unit of the subject table has exactly one row, and nothing else has."""
    key = ", ".join(map(quoted, spec.key))
    units = f"validated.{quoted(spec.subject_table)}"
    rows, distinct, lost, strange, expected = connection.execute(
        f"""
        SELECT (SELECT count(*) FROM {relation}),
               (SELECT count(*) FROM (SELECT DISTINCT {key} FROM {relation})),
               (SELECT count(*) FROM (SELECT {key} FROM {units} EXCEPT SELECT {key} FROM {relation})),
               (SELECT count(*) FROM (SELECT {key} FROM {relation} EXCEPT SELECT {key} FROM {units})),
               (SELECT count(*) FROM {units})
        """
    ).fetchone() or (0, 0, 0, 0, 0)
    if rows > distinct:
        raise SqlModelError(
            f"{_shown(compiled)}: {rows - distinct} of {rows} rows repeat a unit ({', '.join(spec.key)}).",
            cure="A join multiplies rows: aggregate the other table to one row per unit before joining.",
        )
    if lost:
        raise SqlModelError(
            f"{_shown(compiled)}: {lost} of {expected} units have no row.",
            cure="Start from the subject table and use LEFT JOIN; who is not used is said by the outcome's exclusion.",
        )
    if strange:
        raise SqlModelError(
            f"{_shown(compiled)}: {strange} rows are of no unit in {spec.subject_table}.",
            cure="Start from the subject table.",
        )
    return int(rows)


_LARGEST = 3.4028234663852886e38
"""Largest finite number of 32 bits."""


def check_finite(connection: duckdb.DuckDBPyConnection, features: CompiledModel, names: Sequence[str]) -> None:
    """Refuse features that are infinite, NaN or beyond single precision, in which models compute.

    Null is a missing value and passes.

    Raises
    ------
    SqlModelError
        With the columns and how many units each concerns.
    """
    counts = ", ".join(f"count(*) FILTER (WHERE NOT isfinite({quoted(name)}))" for name in names)
    found = connection.execute(f"SELECT {counts} FROM {FEATURES}").fetchone() or ()
    wrong = {name: count for name, count in zip(names, found, strict=True) if count}
    if wrong:
        listed = ", ".join(f"{name} ({count} units)" for name, count in list(wrong.items())[:5])
        raise SqlModelError(
            f"{_shown(features)}: infinite or not a number: {listed}.",
            cure="A division by zero gives infinity: divide by nullif(x, 0), which gives NULL, that is missing.",
        )
    counts = ", ".join(f"count(*) FILTER (WHERE abs({quoted(name)}::DOUBLE) > {_LARGEST!r})" for name in names)
    found = connection.execute(f"SELECT {counts} FROM {FEATURES}").fetchone() or ()
    huge = [f"{name} ({count} units)" for name, count in zip(names, found, strict=True) if count]
    if huge:
        raise SqlModelError(
            f"{_shown(features)}: larger than {_LARGEST:.3g}, the largest number that models compute with: "
            f"{', '.join(huge[:5])}.",
            cure="Give the column a `range`, list the value under `missing` if it stands for that, or use its log.",
        )


def refuse_rare_words(connection: duckdb.DuckDBPyConnection, spec: CohortSpec) -> None:
    """A word that few people's notes say may be a name, and would stand in every bundle.

    Raises
    ------
    InsufficientData
        Naming the words of the description that fewer people say than it promises, never a note.
    """
    key = ", ".join(map(quoted, spec.key))
    for note, described in spec.modelling.notes.items():
        counts = ", ".join(
            f"count(DISTINCT s.{quoted(spec.subject)}) FILTER (WHERE f.{quoted(word_feature(note, word))} > 0)"
            for word in described.words
        )
        found = (
            connection.execute(
                f"SELECT {counts} FROM {FEATURES} AS f JOIN validated.{quoted(spec.subject_table)} AS s USING ({key})"
            ).fetchone()
            or ()
        )
        rare = [w for w, n in zip(described.words, found, strict=True) if n < described.minimum_persons]
        if rare:
            raise InsufficientData(
                f"modelling.notes.{note}: the notes of fewer than {described.minimum_persons} people say "
                f"{', '.join(repr(word) for word in rare[:5])}{', ...' if len(rare) > 5 else ''}; a rare word may tell "
                "who somebody is.",
                cure="Take the words out; `clinical-assets cohorts words` lists those that enough people's notes say.",
            )


def count_outcomes(
    connection: duckdb.DuckDBPyConnection, spec: CohortSpec, outcome: CompiledModel
) -> tuple[dict[str, int], dict[str, int]]:
    """Units per class among those with an outcome, and units per reason of exclusion, the most frequent first.

    Raises
    ------
    SqlModelError
        A unit has neither outcome nor exclusion, or an outcome is no class.
    InsufficientData
        Every unit is excluded.
    """
    classes = len(spec.target.classes)
    unexplained, impossible = connection.execute(
        f"""
        SELECT count(*) FILTER (WHERE outcome IS NULL AND exclusion IS NULL),
               count(*) FILTER (WHERE outcome NOT BETWEEN 0 AND {classes - 1})
        FROM {OUTCOMES}
        """
    ).fetchone() or (0, 0)
    if unexplained:
        raise SqlModelError(
            f"{_shown(outcome)}: {unexplained} units have no outcome and no exclusion that says why.",
            cure="Give the reason as `exclusion`, such as 'censored before the horizon'.",
        )
    if impossible:
        raise SqlModelError(
            f"{_shown(outcome)}: {impossible} units have an outcome that is no class.", cure=_classes(spec) + "."
        )
    found = dict(
        connection.execute(f"SELECT outcome, count(*) FROM {OUTCOMES} WHERE exclusion IS NULL GROUP BY 1").fetchall()
    )
    reasons = connection.execute(
        f"SELECT exclusion, count(*) AS n FROM {OUTCOMES} WHERE exclusion IS NOT NULL GROUP BY 1 ORDER BY n DESC, 1"
    ).fetchall()
    exclusions = {str(reason): int(count) for reason, count in reasons}
    if not found:
        listed = ", ".join(f"{reason}: {count}" for reason, count in exclusions.items()) or "there are none"
        raise InsufficientData(
            f"{_shown(outcome)}: no unit may be used for training ({listed}).",
            cure="Look at the rule for exclusions and at the horizon.",
        )
    return {label: int(found.get(index, 0)) for index, label in enumerate(spec.target.classes)}, exclusions


def check_index_dates(connection: duckdb.DuckDBPyConnection, spec: CohortSpec) -> None:
    """A unit without an index date sees no event at all, which must not pass for a patient without events."""
    if spec.prediction.index_date is None:
        return
    column = quoted(spec.prediction.index_date.split(".")[1])
    (without,) = connection.execute(
        f"""
        SELECT count(*) FROM validated.{quoted(spec.subject_table)} AS s
        JOIN {OUTCOMES} AS o ON {" AND ".join(f"o.{quoted(name)} = s.{quoted(name)}" for name in spec.key)}
        WHERE o.exclusion IS NULL AND s.{column} IS NULL
        """
    ).fetchone() or (0,)
    if without:
        raise SqlModelError(
            f"Cohort {spec.name}: {without} units are used for training but have no {spec.prediction.index_date}, so "
            "nothing recorded can be placed before or after their prediction.",
            cure="Exclude them in the outcome model, or make the date `nullable: false` so that they are refused.",
        )
