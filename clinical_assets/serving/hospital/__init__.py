"""What a hospital's systems speak: FHIR R4 Bundles in, RiskAssessments out; CDS Hooks 2.0.

What belongs here: from a record in FHIR to a record of the cohort, by the codes of its description, and from an answer
to resources and cards. What does not: checking, scoring and logging (``predictions``, the same for everybody), HTTP
(``web.hospital_routes``).
"""
