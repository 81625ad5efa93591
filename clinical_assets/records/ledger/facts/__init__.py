"""What the entries of the audit ledger say, one type per action.

What belongs here: the fields of an entry's facts, which every later version must still read. What does not: the entry
around them (``ledger.entries``), and what follows from them.

Facts are stored as canonical JSON within an entry's hash and are never written again. A field is therefore only ever
added, with a default, and only fields that are given are written. What somebody changed by hand fits no type: reading
then gives None, and the reader decides what an entry without facts is worth.
"""
