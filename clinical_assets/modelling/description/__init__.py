"""What a reader must know of rows and model, as plain values: participants, Table 1, terms of the model, rates, groups.

What belongs here: describing a finished training, once, for results, card and dossier. What does not: fitting or
choosing anything, and showing it (``trainings.card``, ``reporting``).
"""
