"""Who may ask for what: callers, their rights, keys and tokens, limits.

What belongs here: telling callers apart. What does not: what they are answered.
"""
