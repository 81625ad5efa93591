"""The database of decisions: tables, migrations, the audit ledger and the keys that seal it.

What belongs here: keeping what was decided. What does not: deciding it.
"""
