-- One row per randomised participant: what was known at the landmark. Counts are 0 where nothing was reported.
WITH visits AS (
    SELECT
        subject_id,
        count(*) FILTER (WHERE NOT is_attended) AS visits_missed_count,
        avg(recorded_day - planned_day) FILTER (WHERE is_attended AND planned_day > 0) AS visit_delay_mean_days,
        arg_min(symptom_score, recorded_day) AS symptom_score_first,
        arg_max(symptom_score, recorded_day) AS symptom_score_latest,
        avg(symptom_score) AS symptom_score_mean
    FROM {{ source('visits') }}
    GROUP BY subject_id
),

events AS (
    SELECT
        subject_id,
        count(*) AS adverse_events_count,
        count(*) FILTER (WHERE severity <> 'mild') AS adverse_events_above_mild_count,
        count(*) FILTER (WHERE is_related) AS adverse_events_related_count
    FROM {{ source('adverse_events') }}
    GROUP BY subject_id
)

SELECT
    s.subject_id,
    s.age_years,
    CAST(s.sex = 'F' AS INTEGER) AS is_female,
    s.distance_km,
    coalesce(v.visits_missed_count, 0) AS visits_missed_count,
    v.visit_delay_mean_days,
    v.symptom_score_mean,
    v.symptom_score_latest - v.symptom_score_first AS symptom_score_change,
    coalesce(e.adverse_events_count, 0) AS adverse_events_count,
    coalesce(e.adverse_events_above_mild_count, 0) AS adverse_events_above_mild_count,
    coalesce(e.adverse_events_related_count, 0) AS adverse_events_related_count
FROM {{ source('subjects') }} AS s
LEFT JOIN visits AS v ON s.subject_id = v.subject_id
LEFT JOIN events AS e ON s.subject_id = e.subject_id
