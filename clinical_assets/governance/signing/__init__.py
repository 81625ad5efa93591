"""People, their keys, and what they sign.

What belongs here: who may sign, proof of who somebody is, signatures and whether they are true. What does not: what
stands against a release, and making a model champion.
"""
