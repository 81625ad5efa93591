"""Data sets of R packages as Debian builds them: archives that a user fetched, read without R and without running code.

What belongs here: fetching and opening ``.deb`` archives (``debian``), R's file formats (``r_objects``), and both as a
source (``r_source``).
"""
