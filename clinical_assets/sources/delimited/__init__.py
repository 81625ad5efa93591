"""Delimited text: encoding, dialect, records, and a reader that loses none."""
