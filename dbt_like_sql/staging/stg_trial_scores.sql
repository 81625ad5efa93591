-- One row per participant with total scores: ADAS-Cog (11) and NPI-X (9) as the sponsor totalled them (prorated where
-- items are missing), MMSE summed here when all six items are there. Each scale is put together by itself, so that
-- every column leads back to one table.
WITH adas_days AS (
    SELECT
        answers.subject_id,
        answers.interview_date - subjects.first_dose_date AS days_since_first_dose,
        avg(answers.score) AS total
    FROM {{ source('adas_cog') }} AS answers
    INNER JOIN {{ source('subjects') }} AS subjects ON subjects.subject_id = answers.subject_id
    WHERE answers.item = 'ACTOT' AND answers.score IS NOT NULL AND subjects.first_dose_date IS NOT NULL
    GROUP BY answers.subject_id, answers.interview_date, subjects.first_dose_date
),

adas AS (
    SELECT
        subject_id,
        arg_max(total, days_since_first_dose) FILTER (WHERE days_since_first_dose <= 0) AS adas_cog_baseline
    FROM adas_days
    GROUP BY subject_id
),

npi_days AS (
    SELECT
        answers.subject_id,
        answers.interview_date - subjects.first_dose_date AS days_since_first_dose,
        avg(answers.score) AS total
    FROM {{ source('neuropsychiatric_inventory') }} AS answers
    INNER JOIN {{ source('subjects') }} AS subjects ON subjects.subject_id = answers.subject_id
    WHERE answers.item = 'NPTOT' AND answers.score IS NOT NULL AND subjects.first_dose_date IS NOT NULL
    GROUP BY answers.subject_id, answers.interview_date, subjects.first_dose_date
),

npi AS (
    SELECT
        subject_id,
        arg_max(total, days_since_first_dose) FILTER (WHERE days_since_first_dose <= 0) AS npi_baseline,
        arg_max(total, days_since_first_dose) FILTER (WHERE days_since_first_dose > 0) AS npi_latest
    FROM npi_days
    GROUP BY subject_id
),

mmse_days AS (
    SELECT
        answers.subject_id,
        answers.interview_date - subjects.first_dose_date AS days_since_first_dose,
        sum(answers.score) AS total
    FROM {{ source('mini_mental') }} AS answers
    INNER JOIN {{ source('subjects') }} AS subjects ON subjects.subject_id = answers.subject_id
    WHERE subjects.first_dose_date IS NOT NULL
    GROUP BY answers.subject_id, answers.interview_date, subjects.first_dose_date
    HAVING count(answers.score) = 6 AND count(DISTINCT answers.item) = 6
),

mmse AS (
    SELECT
        subject_id,
        arg_max(total, days_since_first_dose) FILTER (WHERE days_since_first_dose <= 0) AS mmse_screening
    FROM mmse_days
    GROUP BY subject_id
)

SELECT
    subjects.subject_id,
    adas.adas_cog_baseline,
    mmse.mmse_screening,
    npi.npi_baseline,
    npi.npi_latest
FROM {{ source('subjects') }} AS subjects
LEFT JOIN adas ON adas.subject_id = subjects.subject_id
LEFT JOIN npi ON npi.subject_id = subjects.subject_id
LEFT JOIN mmse ON mmse.subject_id = subjects.subject_id
