"""The prediction API: a signed champion answers over HTTP, and every answer is on disk before it leaves.

What belongs here: requests and answers, keeping champions warm, who may ask, the web application. What does not:
scoring (``modelling.bundle``), checking records (``warehouse.validation``), the form of the log
(``records.prediction_log``), and whether a model may serve (``governance.promotion``). No module of this room knows
Dagster.
"""
