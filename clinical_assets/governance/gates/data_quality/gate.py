"""The data quality gate: are the records, features and labels behind a model sound?

Everything is read from the tables again; nothing is believed because a step that wrote them said so. The criteria:

``schema``, ``keys_unique``, ``references``, ``ranges``, ``no_record_lost``
    what the description promises, counted in the validated tables; a single breach fails.
``refused_share[table]``, ``duplicates[table]``, ``implausible_values[table.column]``, ``unit_mixups[table.column]``,
``missing_share[feature]``
    counted shares against the limits of the description.
``class_count[label]``, ``classes_known``, ``sql_tests``
    the outcome's classes, and the tests beside the SQL models.
``leakage``
    the search for leaks, as the training reported it and repeated now.
``label_noise``
    an estimate with an interval, see ``label_noise``; insufficient where overlap hides the answer.
``freshness``, ``data_unchanged``
    age of the oldest table; whether features are still those that the model was trained on.
"""

from __future__ import annotations

import datetime as dt

from clinical_assets.governance.candidate.candidate import ReleaseCandidate
from clinical_assets.governance.gates.data_quality import feature_checks
from clinical_assets.governance.gates.data_quality.record_checks import record_verdicts
from clinical_assets.governance.verdicts.verdict import Verdict
from clinical_assets.modelling.trainings.reference import read_reference
from clinical_assets.warehouse.features.feature_table import load_feature_table
from clinical_assets.warehouse.store.sql_text import quoted


def evaluate(candidate: ReleaseCandidate, *, now: dt.datetime | None = None) -> tuple[Verdict, ...]:
    """Judge the data behind a release candidate.

    Parameters
    ----------
    candidate : ReleaseCandidate
        The trained bundle that is judged, with its cohort, training and records.
    now : datetime with zone, optional
        What the age of the data is counted to; by default the time now.

    Raises
    ------
    WarehouseError
        Features were not built, or the tables are of different age.
    ReferenceMissing
        The candidate was trained elsewhere: its rows are not in this warehouse.
    """
    spec = candidate.spec
    with candidate.warehouse.reader() as connection:
        verdicts = record_verdicts(connection, spec)
        if any(verdict.criterion == "schema" and verdict.verdict == "fail" for verdict in verdicts):
            # Features are made from these tables; what was made before says nothing about them.
            return tuple(verdicts)
        verdicts.append(feature_checks.freshness(connection, spec, now=now or dt.datetime.now(dt.UTC)))
        verdicts.append(feature_checks.sql_tests(candidate, connection))
        subjects = connection.execute(f"SELECT * FROM validated.{quoted(spec.subject_table)}").pl()
        reference = read_reference(connection, candidate.digest, part="train")
    table = load_feature_table(candidate.warehouse, spec)
    return (
        *verdicts,
        *feature_checks.missingness(table, spec),
        *feature_checks.class_counts(table, spec),
        feature_checks.leakage(candidate, table, subjects),
        feature_checks.labels(reference, spec),
        feature_checks.unchanged(candidate, table),
    )
