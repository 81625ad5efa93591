"""Experiments while requests are answered: which goes on, who is answered by the challenger, the scores of the other.

What belongs here: all that an answer needs of an experiment. What does not: what follows from it (``experiments``).
"""
