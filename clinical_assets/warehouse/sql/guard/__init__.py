"""What a model may read and call, and where its statement runs.

What belongs here: the views of the tables that a model is given (``views``), the check of its syntax tree against the
allow-list (``analysis``, ``tree``, ``functions``), and the connection that holds those views alone (``confined``).
Tree and connection each hold by themselves: what one misses, the other does not have.
"""
