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
{# codes such as A+ and A- leave one name: then the labels name the features #}
{% set codes = column.categories | map('slug') | list %}
{% set labelled = '' in codes or (codes | unique | list | length) < (codes | length) %}
{% for category, label in column.categories.items() %}
{% set part = (label if labelled else category) | slug %}
{% set feature = name ~ '_is_' ~ part %}
{% if feature in taken.names or feature in cohort.subjects.columns or not part %}
{{ refuse('category ' ~ category ~ ' of ' ~ name ~ ' would be called ' ~ feature ~ ', which is taken',
          'Give the codes labels that differ, such as {A+: A positive, A-: A negative}, or write a feature model.') }}
{% endif %}
{% set taken.names = taken.names + [feature] %}
    , CAST(CAST({{ name | identifier }} AS VARCHAR) = {{ category | literal }} AS INTEGER) AS {{ feature | identifier }}
{% endfor %}
{% elif column.type == 'boolean' %}
    , CAST({{ name | identifier }} AS INTEGER) AS {{ name | identifier }}
{% elif name in cohort.key and column.type in ('integer', 'number') %}
{# such as the day of a visit: it stands in the key under its own name #}
{% if name ~ '_value' in cohort.subjects.columns %}
{{ refuse('key column ' ~ name ~ ' would be called ' ~ name ~ '_value as a feature, which is taken',
          'Rename that column, or write a feature model.') }}
{% endif %}
    , {{ name | identifier }} AS {{ (name ~ '_value') | identifier }}
{% elif column.type in ('integer', 'number') %}
    , {{ name | identifier }}
{% else %}
{{ refuse('feature ' ~ name ~ ' is a ' ~ column.type ~ ', which is no number',
          'Give it categories or another role, or write a feature model that turns it into numbers.') }}
{% endif %}
{% endfor %}
FROM {{ source(cohort.subject_table) }}
