"""Screens for reviewers: dossiers that wait, signing, the lights of monitoring, the audit ledger.

What belongs here: showing evidence and handing a decision on. What does not: deciding whether a signature counts
(``governance.signing``): the functions are those of the command line.
"""
