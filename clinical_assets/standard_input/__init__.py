"""Records in a standard data model, made into a cohort: OMOP 5.4, MEDS, FHIR R4.

What belongs here: a reader per data model that yields people and coded events, the rules that make a cohort of them
(index event, outcome, follow-up, codes worth a feature), and the files of a description. What does not: reading the
files of a described cohort (``sources``), features (SQL in ``dbt_like_sql``).
"""
