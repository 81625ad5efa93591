-- What physician and patient said at entry. Institution is left out: a model must not learn where somebody was treated.
SELECT
    patient_id,
    age_years,
    CAST(sex = '1' AS INTEGER) AS is_male,
    ecog_score,
    karnofsky_physician_percent,
    karnofsky_patient_percent,
    karnofsky_physician_percent - karnofsky_patient_percent AS karnofsky_difference_percent,
    meal_energy_kcal,
    CAST(meal_energy_kcal IS NULL AS INTEGER) AS is_meal_energy_missing,
    weight_loss_lb
FROM {{ source('subjects') }}
