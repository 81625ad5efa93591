-- Angiography is done at referral, so every patient's outcome is known: any narrowing over 50 % counts as disease.
SELECT
    patient_id,
    CAST(disease_grade >= 1 AS INTEGER) AS outcome,
    CASE WHEN disease_grade IS NULL THEN 'angiographic grade missing' END AS exclusion
FROM {{ source('subjects') }}
