-- One row per prediction unit: who it is, from when time is counted, and when the prediction is made.
{% set index_date = cohort.prediction.index_date %}
{% set subject_first = [cohort.subject] if cohort.subject not in cohort.key else [] %}
SELECT
    {{ (subject_first + cohort.key | list) | map('identifier') | join(', ') }},
{% if cohort.counts_days %}
{% set column = index_date.split('.')[1] | identifier %}
    {{ column }} AS index_at,
    {{ column }} + {{ cohort.prediction.landmark_days }} AS predicted_at
{% elif index_date %}
{% set column = index_date.split('.')[1] | identifier %}
    CAST({{ column }} AS TIMESTAMP) AS index_at,
    CAST({{ column }} AS TIMESTAMP) + INTERVAL {{ cohort.prediction.landmark_days }} DAY AS predicted_at
{% else %}
    CAST(NULL AS TIMESTAMP) AS index_at,
    CAST(NULL AS TIMESTAMP) AS predicted_at
{% endif %}
FROM {{ source(cohort.subject_table) }}
