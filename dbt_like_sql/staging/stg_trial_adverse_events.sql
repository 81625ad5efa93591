-- One row per adverse event that may have begun under treatment, put together from its reports.
-- Where only the month or year of onset is known the event counts as begun under treatment unless that month or year
-- had ended before the first dose: the cautious reading, and the usual one for treatment-emergent events.
WITH reports AS (
    SELECT
        events.subject_id,
        events.term,
        events.onset,
        events.body_system,
        events.relation,
        CASE events.severity WHEN 'MILD' THEN 1 WHEN 'MODERATE' THEN 2 WHEN 'SEVERE' THEN 3 END AS severity_grade,
        CASE length(events.onset)
            WHEN 10 THEN CAST(events.onset AS DATE)
            WHEN 7 THEN last_day(CAST(events.onset || '-01' AS DATE))
            ELSE CAST(events.onset || '-12-31' AS DATE)
        END AS latest_onset_date,
        subjects.first_dose_date
    FROM {{ source('adverse_events') }} AS events
    INNER JOIN {{ source('subjects') }} AS subjects ON subjects.subject_id = events.subject_id
)

SELECT
    subject_id,
    term,
    onset,
    count(*) AS reports_count,
    max(severity_grade) AS severity_grade,
    bool_or(coalesce(relation IN ('POSSIBLE', 'PROBABLE'), FALSE)) AS is_related,
    term LIKE 'APPLICATION SITE%' AS is_application_site,
    bool_or(body_system = 'SKIN AND SUBCUTANEOUS TISSUE DISORDERS') AS is_skin
FROM reports
WHERE latest_onset_date >= first_dose_date
GROUP BY subject_id, term, onset
