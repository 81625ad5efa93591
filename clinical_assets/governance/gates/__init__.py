"""The five gates that a candidate must pass, one folder per gate, each with a module ``gate`` that lists its criteria.

What belongs here: criteria and their verdicts. What does not: who signs, and what is promoted.
"""
