"""Champions kept warm, and what they say of records: risk, class, tier, action, reasons, warnings.

What belongs here: one scorer per champion around the scoring path of the bundle, and swapping it. What does not:
the path itself (``modelling.bundle.batch_scoring``), logging and sending what was found.
"""
