"""The pages of the server, for people: sign in, ask about a patient or a list, review a model, look at the ledger.

What belongs here: forms made from a description, what is shown of an answer, sessions. What does not: answering
(``service``), signing (``governance.signing``), templates and texts (``reporting``). A page asks the same functions
as a program or the command line; nothing is scored, checked or signed a second way.
"""
