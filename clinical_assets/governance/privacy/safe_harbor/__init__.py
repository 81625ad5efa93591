"""Safe Harbor (45 CFR 164.514(b)(2)): the 18 kinds of identifiers as rules over columns and values."""
