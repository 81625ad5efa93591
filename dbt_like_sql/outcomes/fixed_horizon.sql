-- Whether the event happens within the horizon, from follow-up that may end before it (right-censored).
-- `outcome: {time, start, unit, event, event_values, competing, horizon_days}` in a description sets these variables:
--   time_column    column of the subject table: time from the index date to the event or the end of follow-up; of a list
--                  the first that has a value (days to death, then days to the last visit)
--   start_column   column with the time of the index date, where time_column counts from another day (ages, for one)
--   time_unit      days (default), weeks, months (30.4375 days) or years (365.25 days)
--   event_column   column of the subject table that says whether follow-up ended with the event
--   event_values   its values that mean the event; a boolean needs none
--   competing_values   its values that mean an event after which the event itself cannot come, such as another death
--   horizon_days   days after the prediction; default: the cohort's horizon
-- Time t is compared with the landmark L and with L + horizon:
--   t <= L                        excluded: no longer at risk, or no longer followed, when the prediction is made
--   event and t <= L + horizon    1
--   competing and t < L + horizon 0: the event will not come
--   t >= L + horizon              0, whatever happens afterwards
--   otherwise                     excluded: censored before the horizon, so nobody knows
-- Units at risk when the prediction is made also have their follow-up, which models of times to an event learn from.
-- Leaving out the censored alone would favour those whose event comes early. So the others stand for them: each counts
-- 1 / G(t-), where G is the chance not to be censored (Kaplan-Meier of the censoring; at one time events come first),
-- and those free at the horizon count 1 / G(horizon-). Weighted events over units are then the Kaplan-Meier risk, and
-- with competing events the Aalen-Johansen risk. Censoring may depend on nothing that the risk depends on.
-- Sources: Robins & Rotnitzky 1992; Graf et al. 1999, doi 10.1002/(SICI)1097-0258(19990915/30)18:17/18<2529::AID-SIM274>3.0.CO;2-5
{% set days_per = {'days': 1, 'weeks': 7, 'months': 30.4375, 'years': 365.25} %}
{% set unit = var('time_unit', 'days') %}
{% set horizon = var('horizon_days', cohort.prediction.horizon_days) %}
{% set columns = cohort.subjects.columns %}
{% set times = var('time_column') %}
{% set times = [times] if times is string else times %}
{% set start = var('start_column', none) %}
{% set event = var('event_column') %}
{% set values = var('event_values', none) %}
{% set competing = var('competing_values', none) %}
{% set landmark = cohort.prediction.landmark_days %}
{% set counted = times + ([start] if start else []) %}
{% for name in counted + [event] if name not in columns %}
{{ refuse('table ' ~ cohort.subject_table ~ ' has no column ' ~ name,
          'Correct time_column, start_column or event_column.') }}
{% endfor %}
{% for name in counted if columns[name].type not in ('integer', 'number') %}
{{ refuse('time_column ' ~ name ~ ' is a ' ~ columns[name].type, 'It must be a number.') }}
{% endfor %}
{% if unit not in days_per %}
{{ refuse('time_unit is ' ~ unit, 'Use days, weeks, months or years.') }}
{% elif horizon is none %}
{{ refuse('the horizon is not set', 'Set horizon_days under `prediction`, or under `vars`.') }}
{% elif values is none and columns[event].type != 'boolean' %}
{{ refuse('which values of ' ~ event ~ ' mean the event is not said', 'Set `event_values` under `vars`.') }}
{% elif competing is not none and values is none %}
{{ refuse('competing_values are set beside a boolean event', 'Set `event_values` too: a code tells them apart.') }}
{% endif %}
WITH followed AS (
    SELECT
        {{ cohort.key | map('identifier') | join(', ') }},
{% set time = times[0] | identifier if times | length == 1 else 'coalesce(' ~ times | map('identifier') | join(', ') ~ ')' %}
        {{ '(' ~ time ~ ' - ' ~ start | identifier ~ ')' if start else time }} * {{ days_per[unit] }} AS followed_days,
{% if values is none %}
        {{ event | identifier }} AS is_event,
        {{ event | identifier }} AS is_ended
{% else %}
        {{ event | identifier }} IN {{ ([values] if values is string or values is number else values) | literal }}
            AS is_event,
{% if competing is none %}
        is_event AS is_ended
{% else %}
        is_event OR {{ event | identifier }} IN
            {{ ([competing] if competing is string or competing is number else competing) | literal }} AS is_ended
{% endif %}
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
            WHEN followed_days <= {{ landmark }} AND is_ended THEN 'competing event before the prediction'
            WHEN followed_days <= {{ landmark }} THEN 'follow-up ends before the prediction'
            WHEN NOT is_ended AND followed_days < {{ landmark + horizon }} THEN 'censored before the horizon'
        END AS exclusion,
        followed_days > {{ landmark }} AND is_event IS NOT NULL AS is_at_risk
    FROM followed
),

-- The used, and the censored before the horizon.
times AS (
    SELECT
        followed_days,
        count(*) AS units,
        count(*) FILTER (WHERE NOT is_ended) AS censored
    FROM judged
    WHERE is_at_risk
    GROUP BY followed_days
),

steps AS (
    SELECT
        followed_days,
        censored,
        -- Still there when the censored of this time leave: its events came first.
        sum(units) OVER (ORDER BY followed_days DESC) - (units - censored) AS exposed
    FROM times
),

free AS (
    SELECT
        followed_days,
        -- Nobody comes after a time at which all who are left are censored.
        coalesce(
            exp(
                sum(CASE WHEN censored = 0 THEN 0 ELSE ln(nullif(1 - censored / exposed, 0)) END)
                    OVER (ORDER BY followed_days ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)
            ),
            1
        ) AS chance
    FROM steps
),

at_horizon AS (
    SELECT exp(coalesce(sum(ln(nullif(1 - censored / exposed, 0))), 0)) AS chance
    FROM steps
    WHERE censored > 0 AND followed_days < {{ landmark + horizon }}
)

SELECT
    {{ cohort.key | map('identifier') | join(', ') }},
    CASE WHEN exclusion IS NULL THEN CAST(is_event AND followed_days <= {{ landmark + horizon }} AS INTEGER) END
        AS outcome,
    exclusion,
    -- Twelve digits, so that the order of a sum does not show.
    CASE
        WHEN exclusion IS NULL
            THEN round(
                1 / CASE WHEN is_ended AND followed_days <= {{ landmark + horizon }} THEN f.chance ELSE h.chance END, 12
            )
    END AS case_weight,
    CASE WHEN is_at_risk THEN followed_days - {{ landmark }} END AS follow_up_days,
    CASE WHEN is_at_risk THEN CASE WHEN is_event THEN 1 WHEN is_ended THEN 2 ELSE 0 END END AS event_code
FROM judged AS j
LEFT JOIN free AS f USING (followed_days)
CROSS JOIN at_horizon AS h
