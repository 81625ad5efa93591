"""Words of free text as features: counted by the feature statement itself, so that every way of scoring counts alike.

What belongs here: the SELECT around a cohort's feature model that adds the counts of `modelling.notes`. What does not:
what a count weighs (``modelling.table.word_weights``), which is fitted inside the folds.

A note is normalised first: lower case, without accents, runs of two letters or more. A note that is missing says no
word, and counts 0.
"""

from __future__ import annotations

from clinical_assets.cohorts.decisions import NoteWords, word_feature
from clinical_assets.cohorts.spec import CohortSpec
from clinical_assets.warehouse.store.sql_text import literal, quoted
from clinical_assets.warehouse.store.warehouse import Warehouse


def tokens(note: str) -> str:
    """SQL of the words of a note, a list in their order; `note` is SQL too."""
    return f"regexp_extract_all(replace(lower(strip_accents({note})), 'ß', 'ss'), '[a-z]{{2,}}')"


def terms(words: str) -> str:
    """SQL of single words and pairs of neighbours of a list of words, also SQL."""
    pairs = f"list_transform(range(1, len({words})), lambda i: {words}[i] || ' ' || {words}[i + 1])"
    return f"list_concat({words}, {pairs})"


def with_words(spec: CohortSpec, features: str, notes: str) -> list[str]:
    """Lines of a SELECT of all columns of a feature model and the words' counts behind them.

    Parameters
    ----------
    spec : CohortSpec
        The cohort; `modelling.notes` names columns and words.
    features, notes : str
        Common table expressions of the feature model, and of the subject table as it was known.
    """
    key = ", ".join(map(quoted, spec.key))
    described = spec.modelling.notes
    split = ", ".join(f"{tokens(quoted(name))} AS {quoted(name)}" for name in described)
    counted = ", ".join(_counts(name, each) for name, each in described.items())
    rows = ["SELECT features.*"]
    for name, each in described.items():
        rows += [
            f", CAST(coalesce(map_extract_value(notes.{quoted(name)}, {literal(word)}), 0) AS INTEGER) "
            f"AS {quoted(word_feature(name, word))}"
            for word in each.words
        ]
    return [
        *rows,
        f"FROM {features} AS features",
        f"LEFT JOIN (SELECT {key}, {counted} FROM (SELECT {key}, {split} FROM {notes})) AS notes USING ({key})",
    ]


def common_words(warehouse: Warehouse, spec: CohortSpec, column: str, *, persons: int, most: int) -> list[str]:
    """Words and pairs of words that the notes of enough people say, those of most people first.

    Parameters
    ----------
    warehouse : Warehouse
        Holds the validated subject table.
    spec : CohortSpec
        The cohort.
    column : str
        A text of the subject table.
    persons : int
        Least number of people whose notes say it.
    most : int
        No more than so many.
    """
    rows = warehouse.query(
        f"""
        WITH split AS (
            SELECT {quoted(spec.subject)} AS person, {tokens(quoted(column))} AS words
            FROM validated.{quoted(spec.subject_table)}
        ),
        said AS (SELECT person, unnest({terms("words")}) AS word FROM split)
        SELECT word FROM said GROUP BY word HAVING count(DISTINCT person) >= {int(persons)}
        ORDER BY count(DISTINCT person) DESC, word LIMIT {int(most)}
        """
    )
    return [str(word) for (word,) in rows.iter_rows()]


def _counts(name: str, each: NoteWords) -> str:
    listed = terms(quoted(name)) if any(" " in word for word in each.words) else quoted(name)
    return f"list_aggregate({listed}, 'histogram') AS {quoted(name)}"
