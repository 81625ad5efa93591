-- The outcome is a class that the subject table records.
--   target_column    the column; default: the only one of the subject table with role target
--   positive_values  these values are class 1 and every other is class 0 (a boolean needs none: true is class 1)
--   ordered_values   the values of class 0, 1, ... in rising severity; another value excludes the unit
-- Without either list an integer column is taken for the class number itself. A missing value excludes the unit.
{% set targets = cohort.subjects.with_role('target') %}
{% set target = var('target_column', targets[0] if targets | length == 1 else none) %}
{% if target is none or target not in cohort.subjects.columns %}
{{ refuse('the outcome column is not clear: ' ~ (target or targets | length ~ ' columns have role target'),
          'Set `target_column` under `vars` to a column of table ' ~ cohort.subject_table ~ '.') }}
{% endif %}
{% set column = cohort.subjects.columns[target] %}
{% set positive = var('positive_values', none) %}
{% set ordered = var('ordered_values', none) %}
{% if positive and ordered %}
{{ refuse('both positive_values and ordered_values are set', 'Keep one.') }}
{% elif ordered and ordered | length != cohort.target.classes | length %}
{{ refuse('ordered_values has ' ~ ordered | length ~ ' values for ' ~ cohort.target.classes | length ~ ' classes',
          'Give one value per class.') }}
{% elif not positive and not ordered and column.type not in ('boolean', 'integer') %}
{{ refuse('the values of ' ~ target ~ ' are not said to be classes',
          'Set `positive_values` or `ordered_values` under `vars`.') }}
{% endif %}
SELECT
    {{ cohort.key | map('identifier') | join(', ') }},
    CASE
{% if ordered %}
{% for value in ordered %}
        WHEN {{ target | identifier }} = {{ value | literal }} THEN {{ loop.index0 }}
{% endfor %}
{% elif positive %}
        WHEN {{ target | identifier }} IN {{ positive | literal }} THEN 1
        WHEN {{ target | identifier }} IS NOT NULL THEN 0
{% else %}
        WHEN {{ target | identifier }} IS NOT NULL THEN CAST({{ target | identifier }} AS INTEGER)
{% endif %}
    END AS outcome,
    CASE
        WHEN {{ target | identifier }} IS NULL THEN 'outcome missing'
{% if ordered %}
        WHEN {{ target | identifier }} NOT IN {{ ordered | literal }} THEN 'outcome is none of the classes'
{% endif %}
    END AS exclusion
FROM {{ source(cohort.subject_table) }}
