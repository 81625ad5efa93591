"""A page on which a data scientist moves threshold, costs and subgroup of a trained model and sees what changes.

What belongs here: what is looked at (``cases``, which knows no page) and the page itself (``page``, run by Streamlit).
"""
