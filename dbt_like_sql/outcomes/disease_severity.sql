-- The graded intellectual disability in four levels; borderline is too rare for one of its own and joins mild.
SELECT
    case_id,
    CASE severity
        WHEN 'borderline' THEN 0 WHEN 'mild' THEN 0 WHEN 'moderate' THEN 1 WHEN 'severe' THEN 2 WHEN 'profound' THEN 3
    END AS outcome,
    CASE WHEN severity IS NULL THEN 'no grade given' END AS exclusion
FROM {{ source('subjects') }}
