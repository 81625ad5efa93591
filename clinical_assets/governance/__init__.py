"""Whether a model may be released, who says so, and what people may ask about their own data.

What belongs here: gates, dossiers, signatures, promotion, erasure. What does not: how models are made.
"""
