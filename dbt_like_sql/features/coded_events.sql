-- Features of coded events (one row per event: subject, code, value, day) beside the declared columns of the subject
-- table. What is counted and read is named by the description:
--   counted_codes   codes whose events are counted: n_<code>
--   valued_codes    codes whose newest value is taken: last_<code>
--   lookback_days   window before the index date (default 365)
--   events_table    table with the columns code, value and the day of its `recorded` (default events)
{% set events = var('events_table', 'events') %}
{% set counted = var('counted_codes', []) %}
{% set valued = var('valued_codes', []) %}
{% set lookback = var('lookback_days', 365) %}
{% set taken = namespace(names=[]) %}
{% if events not in cohort.tables or not cohort.tables[events].recorded %}
{{ refuse('table ' ~ events ~ ' with `recorded` is missing', 'Describe the table of events, or set events_table.') }}
{% elif not cohort.index_column %}
{{ refuse('there is no index date', 'Set index_date under `prediction`.') }}
{% elif cohort.key | length != 1 %}
{{ refuse('a person has several units', 'Write a feature model of your own.') }}
{% elif not counted and not valued %}
{{ refuse('no code is named', 'Set counted_codes or valued_codes under `vars`.') }}
{% endif %}
{% set key = cohort.key[0] | identifier %}
{% set day = cohort.tables[events].recorded | identifier %}
WITH known AS (
    SELECT
        e.{{ (cohort.tables[events].subject or cohort.subject) | identifier }} AS person,
        e.code,
        e.value,
        e.{{ day }} AS happened
    FROM {{ source(events) }} AS e
    INNER JOIN {{ source(cohort.subject_table) }} AS s
        ON s.{{ cohort.subject | identifier }} = e.{{ (cohort.tables[events].subject or cohort.subject) | identifier }}
    WHERE e.{{ day }} >= s.{{ cohort.index_column | identifier }} - {{ lookback }}
),

per_person AS (
    SELECT
        person
{% for code in counted %}
{% set name = 'n_' ~ (code | slug) %}
{% if name in taken.names %}{{ refuse('two codes would be called ' ~ name, 'Leave one of them out.') }}{% endif %}
{% set taken.names = taken.names + [name] %}
        , count(*) FILTER (WHERE code = {{ code | literal }}) AS {{ name | identifier }}
{% endfor %}
{% for code in valued %}
{% set name = 'last_' ~ (code | slug) %}
{% if name in taken.names %}{{ refuse('two codes would be called ' ~ name, 'Leave one of them out.') }}{% endif %}
{% set taken.names = taken.names + [name] %}
{# of several values on one day the largest, so that the order of records does not matter #}
        , max(value) FILTER (WHERE code = {{ code | literal }} AND happened = newest) AS {{ name | identifier }}
{% endfor %}
    FROM (
        SELECT
            *,
            max(CASE WHEN value IS NOT NULL THEN happened END) OVER (PARTITION BY person, code) AS newest
        FROM known
    ) AS dated
    GROUP BY person
)

SELECT
    d.*
{% for code in counted %}
{% set name = 'n_' ~ (code | slug) %}
    , coalesce(p.{{ name | identifier }}, 0) AS {{ name | identifier }}
{% endfor %}
{% for code in valued %}
{% set name = 'last_' ~ (code | slug) %}
    , p.{{ name | identifier }} AS {{ name | identifier }}
{% endfor %}
FROM {{ ref('features.declared_columns') }} AS d
LEFT JOIN per_person AS p ON p.person = d.{{ key }}
