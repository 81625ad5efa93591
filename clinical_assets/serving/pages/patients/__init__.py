"""Screens for clinicians: a form, an answer about a patient or a list of them, a sheet to print.

What belongs here: from a description to a form, from an answer to what is read. What does not: answering (``service``).
"""
