"""A stand-in for the Kaggle stroke file, whose licence does not allow to ship it."""

from __future__ import annotations

import numpy as np
import polars as pl

from clinical_assets.sources.synthetic.parts import check_count, check_share, expit, hidden, intercept_for, labels

AGE_PER_YEAR = 0.075
HYPERTENSION = 0.40
HEART_DISEASE = 0.35
GLUCOSE_PER_MG_DL = 0.004
SMOKES = 0.25


def stroke(seed: int, *, rows: int = 5110, prevalence: float = 249 / 5110) -> dict[str, pl.DataFrame]:
    """Records with the columns, codes and oddities of ``healthcare-dataset-stroke-data.csv``, none of its records.

    Model: logit P(stroke = 1) = a + 0.075 (age - 43) + 0.40 hypertension + 0.35 heart_disease
    + 0.004 (avg_glucose_level - 106) + 0.25 [smokes now]; sex, marriage, work, residence and BMI have no effect of
    their own. ``a`` makes the mean probability ``prevalence``. Smoking has its effect also where the file says Unknown.

    Shares are near those of the file: women 59 %, hypertension 10 %, heart disease 5 %, BMI ``N/A`` 4 %, smoking
    ``Unknown`` 30 % (most of them children), one record with gender ``Other`` in five thousand. Age runs from 0.08 to
    82 years; hypertension and heart disease rise with it; glucose has a second hump near 210 mg/dL.

    Parameters
    ----------
    seed : int
        Seed of numpy's default generator.
    rows : int
        At least 1.
    prevalence : float
        Mean probability of stroke, between 0 and 1.

    Returns
    -------
    dict
        Table ``records``: id, gender, age (years), hypertension, heart_disease (0/1), ever_married, work_type,
        Residence_type, avg_glucose_level (mg/dL), bmi (kg/m2 as text, or ``N/A``), smoking_status, stroke (0/1).
    """
    check_count("rows", rows)
    check_share("prevalence", prevalence, open_interval=True)
    random = np.random.default_rng(seed)
    age = np.round(0.08 + 81.92 * random.beta(1.25, 1.15, rows), 2)
    age = np.where(age >= 2, np.floor(age), age)
    adult, child = age >= 18, age < 16
    hypertension = random.random(rows) < expit(-4.6 + 0.045 * age)
    heart = random.random(rows) < expit(-6.6 + 0.065 * age)
    high_glucose = random.random(rows) < expit(-3.9 + 0.035 * age)
    glucose = np.where(high_glucose, random.normal(208, 22, rows), random.normal(91, 17, rows)).clip(55.1, 271.8)
    married = adult & (random.random(rows) < expit(-2.6 + 0.1 * age))
    work = np.where(child, 0, random.choice([1, 2, 3, 4], size=rows, p=[0.66, 0.185, 0.15, 0.005]))
    smoking = random.choice(3, size=rows, p=[0.53, 0.25, 0.22])  # never, formerly, now
    smoking = np.where(age < 12, 0, smoking)
    unknown = random.random(rows) < np.where(age < 18, 0.75, 0.21)
    bmi = np.where(adult, random.normal(30.3, 7.2, rows), random.normal(15.5 + 0.55 * age.clip(0, 18), 3.2, rows))
    bmi = np.round(bmi.clip(10.3, 97.6), 1)
    gender = random.choice(3, size=rows, p=[0.586, 0.4138, 0.0002])
    linear = (
        AGE_PER_YEAR * (age - 43)
        + HYPERTENSION * hypertension
        + HEART_DISEASE * heart
        + GLUCOSE_PER_MG_DL * (glucose - 106)
        + SMOKES * (smoking == 2)
    )
    event = random.random(rows) < expit(linear + intercept_for(linear, prevalence))
    no_bmi = random.random(rows) < 0.039
    frame = pl.DataFrame(
        {
            "id": random.permutation(np.arange(1, rows + 1, dtype=np.int64) * 14 + 3),
            "gender": labels(("Female", "Male", "Other"), gender),
            "age": age,
            "hypertension": hypertension.astype(np.int64),
            "heart_disease": heart.astype(np.int64),
            "ever_married": labels(("No", "Yes"), married.astype(np.int64)),
            "work_type": labels(("children", "Private", "Self-employed", "Govt_job", "Never_worked"), work),
            "Residence_type": labels(("Urban", "Rural"), random.integers(0, 2, rows)),
            "avg_glucose_level": np.round(glucose, 2),
            "bmi": hidden(pl.Series(bmi).cast(pl.String), no_bmi).fill_null("N/A"),
            "smoking_status": labels(
                ("never smoked", "formerly smoked", "smokes", "Unknown"), np.where(unknown, 3, smoking)
            ),
            "stroke": event.astype(np.int64),
        }
    )
    return {"records": frame}
