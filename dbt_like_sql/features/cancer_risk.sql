-- What is known of a person free of cancer. Powers of age let the logit follow incidences that level off or fall again.
SELECT
    person_id,
    age_years,
    pow((age_years - 55) / 10, 2) AS age_squared,
    pow((age_years - 55) / 10, 3) AS age_cubed,
{% if 'feature' in cohort.subjects.columns['sex'].role %}
    CAST(sex = 'male' AS INTEGER) AS is_male,
{% endif %}
    CAST(smoking = 'current' AS INTEGER) AS is_current_smoker,
    CAST(smoking = 'former' AS INTEGER) AS is_former_smoker,
    bmi_kg_m2,
    CAST(is_heavy_drinker AS INTEGER) AS is_heavy_drinker,
    CAST(is_family_affected AS INTEGER) AS is_family_affected,
    CAST(has_specific_factor AS INTEGER) AS has_specific_factor
FROM {{ source('subjects') }}
