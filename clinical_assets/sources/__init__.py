"""Reading what a cohort is made of: files, packaged data sets, downloads, databases, synthetic generators.

What belongs here: finding, fetching, checking and opening a source so that DuckDB can stream it, and nothing lost
on the way. What does not: types, ranges and meaning (validation), and where records are kept (the warehouse).

``source_reader.open_source`` is the door; everything else in the room serves it.
"""
