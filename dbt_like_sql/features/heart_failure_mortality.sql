-- What was known at entry into follow-up. Platelets are published as text with commas for thousands; they become
-- thousands per microlitre. Creatine kinase spans three orders of magnitude, so its logarithm is read.
SELECT
    patient_id,
    age_years,
    CAST(sex = '1' AS INTEGER) AS is_male,
    CAST(is_anaemic AS INTEGER) AS is_anaemic,
    CAST(is_diabetic AS INTEGER) AS is_diabetic,
    CAST(is_hypertensive AS INTEGER) AS is_hypertensive,
    CAST(is_smoker AS INTEGER) AS is_smoker,
    ejection_fraction_percent,
    ln(creatine_kinase_ug_l) AS creatine_kinase_log_ug_l,
    serum_creatinine_mg_dl,
    serum_sodium_mmol_l,
    CAST(replace(platelets_text, ',', '') AS DOUBLE) / 1000 AS platelets_10_9_l
FROM {{ source('subjects') }}
