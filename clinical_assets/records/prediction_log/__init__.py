"""The prediction log: what was answered, what came of it, in one chain of lines per cohort.

What belongs here: the form of a line, writing lines so that they are on disk before anybody is answered, reading,
verifying and erasing them. What does not: making an answer (``serving``), and what a line's content means.
"""
