-- One row per person screened: what was known at the landmark. Counts are 0 where nothing was reported and NULL for
-- people who never had a first dose; a change is NULL until a value after the first dose is known.
{% set landmark = cohort.prediction.landmark_days %}
WITH visits AS (
    SELECT
        *,
        days_since_first_dose - lag(days_since_first_dose) OVER (
            PARTITION BY subject_id ORDER BY days_since_first_dose, visit
        ) AS gap_days
    FROM {{ ref('stg_trial_visits') }}
    WHERE days_since_first_dose >= 0
),

attendance AS (
    SELECT
        subject_id,
        max(days_since_first_dose) AS last_visit_day,
        max(gap_days) AS visit_gap_max_days,
        count(*) FILTER (WHERE days_since_first_dose > 0 AND NOT is_unscheduled) AS visits_attended_count,
        count(*) FILTER (WHERE days_since_first_dose > 0 AND is_unscheduled) AS visits_unscheduled_count,
        avg(abs(days_since_first_dose - planned_days_since_first_dose)) FILTER (WHERE days_since_first_dose > 0)
            AS visit_deviation_mean_days,
        bool_or(visit = 'AMBUL ECG PLACEMENT') AS is_ambulatory_ecg_placed,
        bool_or(visit = 'WEEK 4') AS is_week_4_visit_held
    FROM visits
    GROUP BY subject_id
),

events AS (
    SELECT
        subject_id,
        count(term) AS adverse_events_count,
        count(*) FILTER (WHERE severity_grade = 3) AS adverse_events_severe_count,
        count(*) FILTER (WHERE is_related) AS adverse_events_related_count,
        count(*) FILTER (WHERE is_application_site) AS application_site_reactions_count,
        count(*) FILTER (WHERE is_skin) AS skin_events_count,
        max(severity_grade) AS adverse_event_severity_max
    FROM {{ ref('stg_trial_adverse_events') }}
    GROUP BY subject_id
),

signs AS (
    SELECT
        subject_id,
        max(baseline_value) FILTER (WHERE test = 'SYSBP' AND time_point = 815) AS systolic_baseline,
        max(latest_value) FILTER (WHERE test = 'SYSBP' AND time_point = 815) AS systolic_latest,
        max(latest_value) FILTER (WHERE test = 'SYSBP' AND time_point = 816) AS systolic_standing_latest,
        max(baseline_value) FILTER (WHERE test = 'DIABP' AND time_point = 815) AS diastolic_baseline,
        max(latest_value) FILTER (WHERE test = 'DIABP' AND time_point = 815) AS diastolic_latest,
        max(baseline_value) FILTER (WHERE test = 'PULSE' AND time_point = 815) AS pulse_baseline,
        max(latest_value) FILTER (WHERE test = 'PULSE' AND time_point = 815) AS pulse_latest,
        max(baseline_value) FILTER (WHERE test = 'WEIGHT') AS weight_baseline,
        max(latest_value) FILTER (WHERE test = 'WEIGHT') AS weight_latest,
        max(baseline_value) FILTER (WHERE test = 'HEIGHT') AS height
    FROM {{ ref('stg_trial_vital_signs') }}
    GROUP BY subject_id
),

doses AS (
    SELECT
        subject_id,
        arg_max(dose_mg, period_start_date) AS dose_mg,
        count(period_start_date) AS dose_periods_count
    FROM {{ source('exposures') }}
    GROUP BY subject_id
)

SELECT
    subjects.subject_id,
    subjects.age_years,
    subjects.sex = 'F' AS is_female,
    subjects.first_dose_date - subjects.screening_date AS screening_to_first_dose_days,
    doses.dose_mg,
    doses.dose_periods_count > 1 AS is_second_dose_period_begun,
    attendance.visits_attended_count,
    attendance.visits_unscheduled_count,
    {{ landmark }} - attendance.last_visit_day AS days_since_last_visit,
    attendance.visit_gap_max_days,
    attendance.visit_deviation_mean_days,
    attendance.is_ambulatory_ecg_placed,
    attendance.is_week_4_visit_held,
    CASE WHEN subjects.first_dose_date IS NOT NULL THEN coalesce(events.adverse_events_count, 0) END
        AS adverse_events_count,
    -- Events are asked for at visits: the time observed ends with the last visit, and there is no rate before one.
    30.0 * CASE WHEN subjects.first_dose_date IS NOT NULL THEN coalesce(events.adverse_events_count, 0) END
        / nullif(attendance.last_visit_day, 0) AS adverse_events_per_30_days,
    CASE WHEN subjects.first_dose_date IS NOT NULL THEN coalesce(events.adverse_events_severe_count, 0) END
        AS adverse_events_severe_count,
    CASE WHEN subjects.first_dose_date IS NOT NULL THEN coalesce(events.adverse_events_related_count, 0) END
        AS adverse_events_related_count,
    CASE WHEN subjects.first_dose_date IS NOT NULL THEN coalesce(events.application_site_reactions_count, 0) END
        AS application_site_reactions_count,
    CASE WHEN subjects.first_dose_date IS NOT NULL THEN coalesce(events.skin_events_count, 0) END AS skin_events_count,
    CASE WHEN subjects.first_dose_date IS NOT NULL THEN coalesce(events.adverse_event_severity_max, 0) END
        AS adverse_event_severity_max,
    signs.systolic_baseline AS systolic_bp_baseline_mmhg,
    signs.systolic_latest - signs.systolic_baseline AS systolic_bp_change_mmhg,
    signs.systolic_latest - signs.systolic_standing_latest AS systolic_bp_standing_drop_mmhg,
    signs.diastolic_latest - signs.diastolic_baseline AS diastolic_bp_change_mmhg,
    signs.pulse_baseline AS pulse_baseline_bpm,
    signs.pulse_latest - signs.pulse_baseline AS pulse_change_bpm,
    signs.weight_baseline / pow(signs.height / 100, 2) AS bmi_kg_m2,
    -- More than a fifth of the body weight within four weeks is a slip of the pen, not a change.
    CASE
        WHEN abs(signs.weight_latest - signs.weight_baseline) <= 0.2 * signs.weight_baseline
            THEN 100 * (signs.weight_latest - signs.weight_baseline) / signs.weight_baseline
    END AS weight_change_percent,
    scores.adas_cog_baseline AS adas_cog_total,
    scores.mmse_screening AS mmse_total,
    scores.npi_baseline AS npi_total,
    scores.npi_latest - scores.npi_baseline AS npi_total_change
FROM {{ source('subjects') }} AS subjects
LEFT JOIN attendance ON attendance.subject_id = subjects.subject_id
LEFT JOIN events ON events.subject_id = subjects.subject_id
LEFT JOIN signs ON signs.subject_id = subjects.subject_id
LEFT JOIN {{ ref('stg_trial_scores') }} AS scores ON scores.subject_id = subjects.subject_id
LEFT JOIN doses ON doses.subject_id = subjects.subject_id
