-- One row per person screened: 1 = the disposition after the landmark is anything but completion.
-- Leaving on the very day of the landmark counts as having left: that day's final visit is already in the features.
{% set landmark = cohort.prediction.landmark_days %}
WITH ends AS (
    SELECT subject_id, decision, disposition_date
    FROM {{ source('dispositions') }}
    WHERE category = 'DISPOSITION EVENT'
),

units AS (
    SELECT
        subjects.subject_id,
        ends.decision,
        CASE
            WHEN subjects.first_dose_date IS NULL THEN 'screening failure: never randomised'
            WHEN ends.decision IS NULL THEN 'no disposition recorded'
            WHEN ends.disposition_date - subjects.first_dose_date <= {{ landmark }}
                THEN 'left the trial by the landmark (day {{ landmark }})'
        END AS exclusion
    FROM {{ source('subjects') }} AS subjects
    LEFT JOIN ends ON ends.subject_id = subjects.subject_id
)

SELECT
    subject_id,
    CASE WHEN exclusion IS NULL THEN CAST(decision <> 'COMPLETED' AS INTEGER) END AS outcome,
    exclusion
FROM units
