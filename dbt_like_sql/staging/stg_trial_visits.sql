-- One row per visit held, with days counted from the first dose (0 = day of the first dose).
-- The protocol counts study days without a day 0: planned day 14 is 13 days after the first dose.
SELECT
    visits.subject_id,
    visits.visit,
    visits.visit_date - subjects.first_dose_date AS days_since_first_dose,
    CASE WHEN visits.planned_day > 0 THEN visits.planned_day - 1 ELSE visits.planned_day END
        AS planned_days_since_first_dose,
    visits.visit LIKE 'UNSCHEDULED%' AS is_unscheduled
FROM {{ source('visits') }} AS visits
INNER JOIN {{ source('subjects') }} AS subjects ON subjects.subject_id = visits.subject_id
WHERE subjects.first_dose_date IS NOT NULL
