-- The cohort in one row, for the platform's page.
{% set dated = namespace(columns=[]) %}
{% for name, table in cohort.tables.items() if table.recorded and table.columns[table.recorded].type != 'integer' %}
{% set dated.columns = dated.columns + [(name, table.recorded)] %}
{% endfor %}
{% if cohort.prediction.index_date and not cohort.counts_days %}
{% set dated.columns = dated.columns + [(cohort.subject_table, cohort.prediction.index_date.split('.')[1])] %}
{% endif %}
WITH outcomes AS (
    SELECT * FROM {{ ref('outcomes.' ~ cohort.outcome) }}
),

counts AS (
    SELECT
        count(*) AS units,
        count(*) FILTER (WHERE exclusion IS NULL) AS units_used,
        count(*) FILTER (WHERE exclusion IS NULL AND outcome > 0) AS events
    FROM outcomes
),

exclusions AS (
    SELECT
        coalesce(sum(units), 0) AS units_excluded,
        coalesce(
            CAST(to_json(map_from_entries(list((reason, units) ORDER BY units DESC, reason))) AS VARCHAR), '{}'
        ) AS excluded_by_reason
    FROM (SELECT exclusion AS reason, count(*) AS units FROM outcomes WHERE exclusion IS NOT NULL GROUP BY exclusion)
),

-- Missingness is that of the units a model learns from; those left out may lack everything.
features AS (
    SELECT * EXCLUDE ({{ cohort.key | map('identifier') | join(', ') }})
    FROM {{ ref('features.' ~ cohort.features) }}
    SEMI JOIN (SELECT * FROM outcomes WHERE exclusion IS NULL) USING ({{ cohort.key | map('identifier') | join(', ') }})
),

recorded_values AS (
    SELECT list_value(*COLUMNS(*)) AS per_feature FROM (SELECT count(COLUMNS(*)) FROM features)
)

SELECT
    {{ cohort.name | literal }} AS cohort,
    {{ cohort.title | literal }} AS title,
    {{ cohort.synthetic | literal }} AS is_synthetic,
    (SELECT count(DISTINCT {{ cohort.subject | identifier }}) FROM {{ source(cohort.subject_table) }}) AS subjects,
    counts.units,
    counts.units_used,
    counts.events,
    counts.events / nullif(counts.units_used, 0) AS event_share,
    CAST(exclusions.units_excluded AS BIGINT) AS units_excluded,
    exclusions.excluded_by_reason,
    len(recorded_values.per_feature) AS features,
    1 - list_sum(recorded_values.per_feature) / nullif(counts.units_used * len(recorded_values.per_feature), 0)
        AS missing_share_mean,
    (SELECT count(*) FROM {{ source('quarantine.records') }}) AS records_refused,
{% if dated.columns %}
    greatest(
{% for table, column in dated.columns %}
        (SELECT CAST(max({{ column | identifier }}) AS TIMESTAMP) FROM {{ source(table) }}){{ '' if loop.last else ',' }}
{% endfor %}
    ) AS newest_record_at,
{% else %}
    CAST(NULL AS TIMESTAMP) AS newest_record_at,
{% endif %}
    (SELECT max(ingested_at) FROM {{ source('meta.ingestions') }}) AS ingested_at
FROM counts, exclusions, recorded_values
