-- Features as the cohort's description declares them, without SQL of its own: every column of the subject table with
-- role feature. Numbers stay as they are, booleans become 0/1, and a column with categories becomes one 0/1 column
-- per category, named <column>_is_<category>. What is missing stays missing in all of them.
{% set taken = namespace(names=[]) %}
{% set declared = cohort.subjects.with_role('feature') %}
{% if not declared %}
{{ refuse('no column of table ' ~ cohort.subject_table ~ ' has role feature',
          'Give columns the role feature, or write a feature model.') }}
{% endif %}
SELECT
    {{ cohort.key | map('identifier') | join(', ') }}
{% for name in declared %}
{% set column = cohort.subjects.columns[name] %}
{% if column.categories %}
{% for category in column.categories %}
{% set feature = name ~ '_is_' ~ (category | slug) %}
{% if feature in taken.names or feature in cohort.subjects.columns or not category | slug %}
{{ refuse('category ' ~ category ~ ' of ' ~ name ~ ' would be called ' ~ feature ~ ', which is taken',
          'Recode the categories, or write a feature model.') }}
{% endif %}
{% set taken.names = taken.names + [feature] %}
    , CAST(CAST({{ name | identifier }} AS VARCHAR) = {{ category | literal }} AS INTEGER) AS {{ feature | identifier }}
{% endfor %}
{% elif column.type == 'boolean' %}
    , CAST({{ name | identifier }} AS INTEGER) AS {{ name | identifier }}
{% elif column.type in ('integer', 'number') %}
    , {{ name | identifier }}
{% else %}
{{ refuse('feature ' ~ name ~ ' is a ' ~ column.type ~ ', which is no number',
          'Give it categories or another role, or write a feature model that turns it into numbers.') }}
{% endif %}
{% endfor %}
FROM {{ source(cohort.subject_table) }}
