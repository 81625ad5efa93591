"""What a cohort is: its description in YAML, checked strictly, and the catalogue of all descriptions.

What belongs here: what may be described. What does not: reading records, or anything that is computed from them.
"""
