-- Whether the event happens within the horizon, from follow-up that may end before it (right-censored).
--   time_column    column of the subject table: time from the index date to the event or the end of follow-up
--   time_unit      days (default), weeks, months (30.4375 days) or years (365.25 days)
--   event_column   column of the subject table that says whether follow-up ended with the event
--   event_values   its values that mean the event; a boolean needs none
--   horizon_days   days after the prediction; default: the cohort's horizon
-- Time t is compared with the landmark L and with L + horizon:
--   t <= L                        excluded: no longer at risk, or no longer followed, when the prediction is made
--   event and t <= L + horizon    1
--   t >= L + horizon              0, whatever happens afterwards
--   otherwise                     excluded: censored before the horizon, so nobody knows
-- Leaving out the censored favours those whose event comes early; the share that is lost is counted as an exclusion
-- and belongs in the cohort's limits.
{% set days_per = {'days': 1, 'weeks': 7, 'months': 30.4375, 'years': 365.25} %}
{% set unit = var('time_unit', 'days') %}
{% set horizon = var('horizon_days', cohort.prediction.horizon_days) %}
{% set columns = cohort.subjects.columns %}
{% set time = var('time_column') %}
{% set event = var('event_column') %}
{% set values = var('event_values', none) %}
{% set landmark = cohort.prediction.landmark_days %}
{% for name in (time, event) if name not in columns %}
{{ refuse('table ' ~ cohort.subject_table ~ ' has no column ' ~ name, 'Correct time_column or event_column.') }}
{% endfor %}
{% if unit not in days_per %}
{{ refuse('time_unit is ' ~ unit, 'Use days, weeks, months or years.') }}
{% elif horizon is none %}
{{ refuse('the horizon is not set', 'Set horizon_days under `prediction`, or under `vars`.') }}
{% elif values is none and columns[event].type != 'boolean' %}
{{ refuse('which values of ' ~ event ~ ' mean the event is not said', 'Set `event_values` under `vars`.') }}
{% elif columns[time].type not in ('integer', 'number') %}
{{ refuse('time_column ' ~ time ~ ' is a ' ~ columns[time].type, 'It must be a number.') }}
{% endif %}
WITH followed AS (
    SELECT
        {{ cohort.key | map('identifier') | join(', ') }},
        {{ time | identifier }} * {{ days_per[unit] }} AS followed_days,
{% if values is none %}
        {{ event | identifier }} AS is_event
{% else %}
        {{ event | identifier }} IN {{ ([values] if values is string or values is number else values) | literal }}
            AS is_event
{% endif %}
    FROM {{ source(cohort.subject_table) }}
),

judged AS (
    SELECT
        *,
        CASE
            WHEN followed_days IS NULL THEN 'follow-up time missing'
            WHEN is_event IS NULL THEN 'event status missing'
            WHEN followed_days <= {{ landmark }} AND is_event THEN 'event before the prediction'
            WHEN followed_days <= {{ landmark }} THEN 'follow-up ends before the prediction'
            WHEN NOT is_event AND followed_days < {{ landmark + horizon }} THEN 'censored before the horizon'
        END AS exclusion
    FROM followed
)

SELECT
    {{ cohort.key | map('identifier') | join(', ') }},
    CASE WHEN exclusion IS NULL THEN CAST(is_event AND followed_days <= {{ landmark + horizon }} AS INTEGER) END
        AS outcome,
    exclusion
FROM judged
