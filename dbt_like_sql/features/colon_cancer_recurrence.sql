-- What surgery, pathology and allocation told at registration. Ordered findings are kept as their order.
SELECT
    patient_id,
    age_years,
    CAST(sex = '1' AS INTEGER) AS is_male,
    CAST(treatment = 'Lev' AS INTEGER) AS is_levamisole_alone,
    CAST(treatment = 'Lev+5FU' AS INTEGER) AS is_levamisole_fluorouracil,
    CAST(is_obstructed AS INTEGER) AS is_obstructed,
    CAST(is_perforated AS INTEGER) AS is_perforated,
    CAST(is_adherent AS INTEGER) AS is_adherent,
    positive_nodes_count,
    CAST(is_over_four_nodes_positive AS INTEGER) AS is_over_four_nodes_positive,
    CAST(differentiation AS INTEGER) AS differentiation_grade,
    CAST(local_extent AS INTEGER) AS local_extent_grade,
    CAST(is_registered_late AS INTEGER) AS is_registered_late
FROM {{ source('subjects') }}
