"""SQL models: from files to one guarded statement, its description, its lineage and its tests.

What belongs here: everything between a ``.sql`` file and a statement that can run. What does not: running it on a
cohort's records (``warehouse.features``, ``warehouse.outcomes``).
"""
