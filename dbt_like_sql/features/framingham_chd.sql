-- What the examination told of a person free of coronary heart disease. Education is kept as its order from 1 to 4.
SELECT
    person_id,
    age_years,
    CAST(sex = '1' AS INTEGER) AS is_male,
    CAST(education AS INTEGER) AS education_level,
    cigarettes_per_day,
    CAST(is_smoker AS INTEGER) AS is_smoker,
    CAST(is_bp_treated AS INTEGER) AS is_bp_treated,
    CAST(is_stroke_known AS INTEGER) AS is_stroke_known,
    CAST(is_hypertensive AS INTEGER) AS is_hypertensive,
    CAST(is_diabetic AS INTEGER) AS is_diabetic,
    cholesterol_mg_dl,
    systolic_bp_mmhg,
    diastolic_bp_mmhg,
    systolic_bp_mmhg - diastolic_bp_mmhg AS pulse_pressure_mmhg,
    bmi_kg_m2,
    heart_rate_bpm,
    glucose_mg_dl
FROM {{ source('subjects') }}
