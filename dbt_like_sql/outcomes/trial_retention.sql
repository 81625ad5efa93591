-- One row per randomised participant: 1 = leaves after the landmark. Leaving on its very day counts as having left.
SELECT
    subject_id,
    CASE
        WHEN dropout_day IS NULL OR dropout_day > {{ cohort.prediction.landmark_days }} THEN CAST(is_discontinued AS INTEGER)
    END AS outcome,
    CASE
        WHEN dropout_day <= {{ cohort.prediction.landmark_days }}
            THEN 'left the trial by the landmark (day {{ cohort.prediction.landmark_days }})'
    END AS exclusion
FROM {{ source('subjects') }}
