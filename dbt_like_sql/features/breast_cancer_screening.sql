-- What is known of a woman free of breast cancer, coded as the published formula reads it.
SELECT
    person_id,
    age_years,
    CAST(age_years >= 50 AS INTEGER) AS is_fifty_or_older,
    relatives,
    menarche_age,
    first_birth,
    CAST(first_birth = 4 AS INTEGER) AS has_no_child,
    biopsies
FROM {{ source('subjects') }}
