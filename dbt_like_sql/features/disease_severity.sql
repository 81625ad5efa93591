-- What is known of a person: demographics, history, genetics, and thirty signs of the nervous system and others.
-- A sign counts as seen where it was coded, or where the note names it and does not deny it. Words are labels and
-- synonyms of HPO; what is denied, before or after it is named, or said of relatives does not count.
{% set signs = [
    ('has_seizure', 'HP:0001250', 'seizures?|sz|epilep(sy|tic)|convulsions?'),
    ('has_hypotonia', 'HP:0001252', 'hypotonia|hypotonic|(low|decreased) muscle tone'),
    ('has_microcephaly', 'HP:0000252', 'microcephal(y|ic)|small head'),
    ('has_macrocephaly', 'HP:0000256', 'macrocephal(y|ic)|large head'),
    ('is_speech_delayed', 'HP:0000750', 'speech delay|(delayed|late) (speech|language)|speech and language delay'),
    ('is_speech_absent', 'HP:0001344', 'absent speech|non-?verbal|no speech'),
    ('has_autism', 'HP:0000717', 'autis(m|tic)|asd'),
    ('has_adhd', 'HP:0007018', 'adhd|attention deficit|hyperactiv(e|ity)'),
    ('has_ataxia', 'HP:0001251', 'ataxi[ac]'),
    ('has_spasticity', 'HP:0001257', 'spastic(ity)?'),
    ('has_dystonia', 'HP:0001332', 'dystoni[ac]'),
    ('has_regression', 'HP:0002376', 'regress(ion|ed)|loss of skills'),
    ('has_cerebral_atrophy', 'HP:0002059', '(cerebral|brain|cortical) atrophy'),
    ('has_corpus_callosum_anomaly', 'HP:0001273', 'corpus callosum|callosal'),
    ('has_strabismus', 'HP:0000486', 'strabismus|squint'),
    ('has_hearing_loss', 'HP:0000365', 'hearing (loss|impairment)|snhl|deaf(ness)?'),
    ('has_short_stature', 'HP:0004322', 'short stature|third centile for height'),
    ('has_failure_to_thrive', 'HP:0001508', 'failure to thrive|ftt|poor weight gain'),
    ('has_feeding_difficulty', 'HP:0011968', '(feeding|swallowing) (difficult(y|ies)|problems?)'),
    ('has_scoliosis', 'HP:0002650', 'scoliosis|spinal curvature'),
    ('has_heart_defect', 'HP:0001627', 'heart (defect|disease|anomaly)|chd|abnormal heart'),
    ('has_hypertelorism', 'HP:0000316', 'hypertelorism|widely spaced eyes'),
    ('has_micrognathia', 'HP:0000347', 'micrognathia|small (jaw|chin)'),
    ('has_constipation', 'HP:0002019', 'constipat(ion|ed)'),
    ('has_sleep_disturbance', 'HP:0002360', 'sleep (disturbance|problems?|disorder)|insomnia'),
    ('has_aggression', 'HP:0000718', 'aggressi(on|ve)'),
    ('has_stereotypies', 'HP:0000733', 'stereotyp(y|ies|ic)|hand flapping'),
    ('has_contractures', 'HP:0001371', 'contractures?'),
    ('has_visual_impairment', 'HP:0000505', 'visual impairment|cvi|poor vision|blind(ness)?'),
    ('has_nystagmus', 'HP:0000639', 'nystagmus')
] %}
{% set denied = [
    '\\b(no|without|denies|absence of)\\b[^.;]*',
    '[^.;,]*(\\bnot (seen|found|present|observed|noted)\\b|\\b(ruled out|excluded|negative)\\b|\\babsent *([.;,]|$))',
    '\\b(brother|sister|sibling|cousin|uncle|aunt|grandmother|grandfather|family history|(mother|father) (has|had|with))\\b[^.;]*'
] %}
WITH observed AS (
    SELECT
        case_id,
        count(*) FILTER (WHERE is_observed) AS signs_count,
        list(sign) FILTER (WHERE is_observed) AS signs
    FROM {{ source('signs') }}
    GROUP BY case_id
),

cases AS (
    SELECT
        *,
        -- a "but" ends what was denied before it
        regexp_replace(lower(coalesce(note, '')), '\bbut\b', '. ', 'g') AS clauses
    FROM {{ source('subjects') }}
),

affirmed AS (
    SELECT
        *,
        {% for _ in denied %}regexp_replace({% endfor %}clauses
        {% for each in denied %}, {{ each | literal }}, ' ', 'g'){% endfor %} AS affirmed
    FROM cases
)

SELECT
    c.case_id,
    c.age_years,
    CASE c.sex WHEN 'MALE' THEN 1 WHEN 'FEMALE' THEN 0 END AS is_male,
    ln(1 + greatest(c.onset_years, 0)) AS onset_log_years,
    CAST(c.zygosity = 'biallelic' AS INTEGER) AS is_biallelic,
    CAST(c.zygosity = 'hemizygous' AS INTEGER) AS is_hemizygous,
    -- the number of the disease in its catalogue stands for the disease
    TRY_CAST(regexp_extract(c.disease_id, '\d+') AS INTEGER) AS disease_number,
    coalesce(o.signs_count, 0) AS signs_count
{% for name, code, words in signs %}
    , CAST(
        coalesce(list_contains(o.signs, {{ code | literal }}), FALSE)
        OR regexp_matches(c.affirmed, {{ ('\\b(' ~ words ~ ')\\b') | literal }}) AS INTEGER
    ) AS {{ name }}
{% endfor %}
FROM affirmed AS c
LEFT JOIN observed AS o ON o.case_id = c.case_id
