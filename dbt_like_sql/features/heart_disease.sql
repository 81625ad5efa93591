-- What is known of a patient before angiography: history, resting examination, blood tests, exercise test, scans.
-- A category that was not recorded leaves all of its 0/1 columns missing; the model's pipeline decides what to do.
SELECT
    patient_id,

    -- history
    age_years,
    CAST(sex = 'Male' AS INTEGER) AS is_male,
    CAST(chest_pain = 'typical angina' AS INTEGER) AS is_angina_typical,
    CAST(chest_pain = 'atypical angina' AS INTEGER) AS is_angina_atypical,
    CAST(chest_pain = 'asymptomatic' AS INTEGER) AS is_pain_free,

    -- rest and blood
    resting_bp_mmhg,
    cholesterol_mg_dl,
    CAST(is_fasting_glucose_high AS INTEGER) AS is_fasting_glucose_high,
    CAST(resting_ecg = 'st-t abnormality' AS INTEGER) AS is_ecg_st_t_abnormal,
    CAST(resting_ecg = 'lv hypertrophy' AS INTEGER) AS is_ecg_lv_hypertrophy,

    -- exercise
    max_heart_rate_bpm,
    (220 - age_years) - max_heart_rate_bpm AS heart_rate_below_expected_bpm,
    CAST(is_exercise_angina AS INTEGER) AS is_exercise_angina,
    st_depression_mm,
    CAST(st_slope = 'flat' AS INTEGER) AS is_st_slope_flat,
    CAST(st_slope = 'downsloping' AS INTEGER) AS is_st_slope_down,

    -- scans, missing for most patients outside Cleveland
    vessels_count,
    CAST(thallium_scan = 'fixed defect' AS INTEGER) AS is_thallium_defect_fixed,
    CAST(thallium_scan = 'reversable defect' AS INTEGER) AS is_thallium_defect_reversible
FROM {{ source('subjects') }}
