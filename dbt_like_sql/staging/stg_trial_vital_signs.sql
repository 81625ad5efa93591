-- One row per participant, test and time point: the last value up to the day of the first dose, and the last one after.
WITH days AS (
    SELECT
        signs.subject_id,
        signs.test,
        coalesce(signs.time_point, 0) AS time_point,
        signs.measured_date - subjects.first_dose_date AS days_since_first_dose,
        avg(signs.value) AS value
    FROM {{ source('vital_signs') }} AS signs
    INNER JOIN {{ source('subjects') }} AS subjects ON subjects.subject_id = signs.subject_id
    WHERE signs.value IS NOT NULL AND subjects.first_dose_date IS NOT NULL
    GROUP BY signs.subject_id, signs.test, coalesce(signs.time_point, 0), signs.measured_date, subjects.first_dose_date
)

SELECT
    subject_id,
    test,
    time_point,
    arg_max(value, days_since_first_dose) FILTER (WHERE days_since_first_dose <= 0) AS baseline_value,
    arg_max(value, days_since_first_dose) FILTER (WHERE days_since_first_dose > 0) AS latest_value
FROM days
GROUP BY subject_id, test, time_point
