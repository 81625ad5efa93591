"""The ONNX graph of a model, from features to served risk.

What belongs here: building graphs in double precision and by converters. What does not: running them (``scorer``).
"""
