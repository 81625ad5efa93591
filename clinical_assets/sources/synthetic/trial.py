"""A randomised trial that some subjects leave: subjects, visits and adverse events that belong together."""

from __future__ import annotations

import datetime

import numpy as np
import numpy.typing as npt
import polars as pl

from clinical_assets.foundation.types import FloatArray
from clinical_assets.sources.synthetic.parts import check_count, check_share, expit, hidden, labels

STUDY_DAYS = 182
EARLY_DAYS = 28
PLANNED_DAYS = (0, 14, 28, 42, 56, 84, 112, 140, 168, 182)
VISIT_WINDOW_DAYS = 7

BURDEN = 0.55
UNRELIABILITY = 0.45
AGE_PER_DECADE = 0.20
FAR_AWAY = 0.35
ACTIVE_ARM = 0.15

_FIRST_DAY = datetime.date(2021, 1, 4)
_TERMS = ("headache", "nausea", "dizziness", "rash", "fatigue", "fall")
Ints = npt.NDArray[np.int64]


def trial_dropout(
    seed: int, *, subjects: int = 1000, sites: int = 20, dropout_share: float = 0.35
) -> dict[str, pl.DataFrame]:
    """Three tables of a trial of 182 days with ten planned visits.

    Model: each subject has two hidden traits, burden b (how badly the drug is borne) and unreliability r, both
    normal with mean 0 and SD 1. Time to dropout is exponential with daily rate
    h0 exp(0.55 b + 0.45 r + 0.20 (age - 70) / 10 + 0.35 [lives more than 50 km away] + 0.15 [active arm] + s), with s
    normal of SD 0.2 per site; ``h0`` makes the mean probability of leaving within 182 days ``dropout_share``.
    What a model can see of the traits: adverse events come at a daily rate exp(-3.6 + 0.6 b) and are severe more
    often with b; a visit is missed with probability expit(-3 + 0.8 r) and otherwise late by an exponential number of
    days with mean exp(0.5 + 0.5 r), at most 7; the symptom score is 20 + 3 b + 0.02 day + noise of SD 4.

    ``dropout_day``, ``early_dropout`` and ``late_dropout`` in ``subjects`` are known only after the outcome: they are
    there so that leak checks have something to find.

    Parameters
    ----------
    seed : int
        Seed of numpy's default generator.
    subjects, sites : int
        At least 1 each.
    dropout_share : float
        Mean probability of leaving, between 0 and 1.

    Returns
    -------
    dict
        ``subjects``: subject_id, site_id, randomisation_date, randomisation_day (0: days count from it), arm,
        age_years, sex, distance_km, dropout_day (null for who stays), early_dropout (within 28 days), late_dropout,
        discontinued (0/1).
        ``visits``: subject_id, visit_number (from 1), planned_day, recorded_day (day of the visit, or the end of its
        window when it was missed), is_attended, symptom_score (null when missed).
        ``adverse_events``: subject_id, event_number, start_day, term, severity, is_related.
        Days count from randomisation (day 0); nothing is recorded after a subject has left.
    """
    check_count("subjects", subjects)
    check_count("sites", sites)
    check_share("dropout_share", dropout_share, open_interval=True)
    random = np.random.default_rng(seed)
    burden, unreliability = random.standard_normal((2, subjects))
    site = random.integers(0, sites, subjects)
    age = np.round(random.normal(72, 8, subjects)).clip(45, 95).astype(np.int64)
    distance = np.round(random.gamma(1.5, 22.0, subjects), 1)
    active = random.random(subjects) < 2 / 3
    linear = (
        BURDEN * burden
        + UNRELIABILITY * unreliability
        + AGE_PER_DECADE * (age - 70) / 10
        + FAR_AWAY * (distance > 50)
        + ACTIVE_ARM * active
        + random.normal(0, 0.2, sites)[site]
    )
    days = random.exponential(1.0, subjects) / (_base_rate(linear, dropout_share) * np.exp(linear))
    leaves = days < STUDY_DAYS
    last_day = np.where(leaves, np.floor(days) + 1, STUDY_DAYS).astype(np.int64)
    identifiers = "S" + pl.Series(np.arange(1, subjects + 1)).cast(pl.String).str.zfill(6)
    table = pl.DataFrame(
        {
            "subject_id": identifiers,
            "site_id": labels([f"site_{number:02d}" for number in range(1, sites + 1)], site),
            "randomisation_date": pl.Series(
                np.datetime64(_FIRST_DAY) + random.integers(0, 365, subjects).astype("timedelta64[D]")
            ),
            "randomisation_day": np.zeros(subjects, dtype=np.int64),
            "arm": labels(("placebo", "active"), active.astype(np.int64)),
            "age_years": age,
            "sex": labels(("F", "M"), (random.random(subjects) < 0.45).astype(np.int64)),
            "distance_km": distance,
            "dropout_day": hidden(pl.Series(last_day), ~leaves),
            "early_dropout": (leaves & (last_day <= EARLY_DAYS)).astype(np.int64),
            "late_dropout": (leaves & (last_day > EARLY_DAYS)).astype(np.int64),
            "discontinued": leaves.astype(np.int64),
        }
    )
    return {
        "subjects": table,
        "visits": _visits(random, identifiers, burden, unreliability, last_day, leaves),
        "adverse_events": _adverse_events(random, identifiers, burden, last_day),
    }


def _base_rate(linear: FloatArray, share: float) -> float:
    """Daily rate h0 that makes the mean of 1 - exp(-182 h0 exp(linear)) equal to ``share``."""
    from scipy.optimize import brentq

    hazard = STUDY_DAYS * np.exp(linear)
    return float(np.exp(brentq(lambda log_rate: -np.expm1(-np.exp(log_rate) * hazard).mean() - share, -60, 40)))


def _visits(
    random: np.random.Generator,
    identifiers: pl.Series,
    burden: FloatArray,
    unreliability: FloatArray,
    last_day: Ints,
    leaves: npt.NDArray[np.bool_],
) -> pl.DataFrame:
    subjects, planned = burden.size, np.array(PLANNED_DAYS)
    who = np.repeat(np.arange(subjects), planned.size)
    number = np.tile(np.arange(planned.size), subjects)
    due = planned[number]
    first = number == 0
    missed = ~first & (random.random(who.size) < expit(-3 + 0.8 * unreliability[who]))
    late = np.floor(random.exponential(np.exp(0.5 + 0.5 * unreliability[who]))).clip(0, VISIT_WINDOW_DAYS)
    recorded = due + np.where(missed, VISIT_WINDOW_DAYS, np.where(first, 0, late)).astype(np.int64)
    score = np.round(20 + 3 * burden[who] + 0.02 * recorded + random.normal(0, 4, who.size), 1).clip(0, 70)
    seen = recorded <= np.where(leaves, last_day, STUDY_DAYS + VISIT_WINDOW_DAYS)[who]
    frame = pl.DataFrame(
        {
            "subject_id": identifiers.gather(pl.Series(who)),
            "visit_number": number + 1,
            "planned_day": due,
            "recorded_day": recorded,
            "is_attended": ~missed,
            "symptom_score": hidden(pl.Series(score), missed),
        }
    )
    return frame.filter(pl.Series(seen))


def _adverse_events(
    random: np.random.Generator, identifiers: pl.Series, burden: FloatArray, last_day: Ints
) -> pl.DataFrame:
    counts = random.poisson(np.exp(-3.6 + 0.6 * burden) * last_day)
    who = np.repeat(np.arange(burden.size), counts)
    start = np.floor(random.random(who.size) * last_day[who]).astype(np.int64)
    order = np.lexsort((start, who))
    who, start = who[order], start[order]
    first_of_subject = np.concatenate(([0], np.cumsum(counts)[:-1]))
    severity = (random.normal(0.5 * burden[who], 1.0) > 0.6).astype(np.int64)
    severity += severity * (random.random(who.size) < 0.35)
    return pl.DataFrame(
        {
            "subject_id": identifiers.gather(pl.Series(who)),
            "event_number": np.arange(who.size) - first_of_subject[who] + 1,
            "start_day": start,
            "term": labels(_TERMS, random.integers(0, len(_TERMS), who.size)),
            "severity": labels(("mild", "moderate", "severe"), severity),
            "is_related": random.random(who.size) < 0.4,
        }
    )
