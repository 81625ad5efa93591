-- What the record tells of a person. Unknown smoking stays missing, and so does whether a person of sex Other is male.
SELECT
    person_id,
    age_years,
    CASE sex WHEN 'Male' THEN 1 WHEN 'Female' THEN 0 END AS is_male,
    CAST(is_hypertensive AS INTEGER) AS is_hypertensive,
    CAST(is_heart_disease_known AS INTEGER) AS is_heart_disease_known,
    CAST(is_ever_married AS INTEGER) AS is_ever_married,
    CAST(work = 'Self-employed' AS INTEGER) AS is_self_employed,
    CAST(work = 'Govt_job' AS INTEGER) AS is_government_employed,
    CAST(work IN ('children', 'Never_worked') AS INTEGER) AS is_never_employed,
    CAST(residence = 'Urban' AS INTEGER) AS is_urban,
    glucose_mg_dl,
    bmi_kg_m2,
    CAST(smoking = 'smokes' AS INTEGER) AS is_smoker,
    CAST(smoking = 'formerly smoked' AS INTEGER) AS is_former_smoker
FROM {{ source('subjects') }}
