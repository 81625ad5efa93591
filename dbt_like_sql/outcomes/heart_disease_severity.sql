-- The angiographic grade in three levels: none (0), limited (1 and 2), extensive (3 and 4).
SELECT
    patient_id,
    CASE WHEN disease_grade = 0 THEN 0 WHEN disease_grade <= 2 THEN 1 WHEN disease_grade <= 4 THEN 2 END AS outcome,
    CASE WHEN disease_grade IS NULL THEN 'angiographic grade missing' END AS exclusion
FROM {{ source('subjects') }}
