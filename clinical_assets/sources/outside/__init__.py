"""Sources that lie on other machines: what may be reached, downloads, databases.

What belongs here: everything that a description can make this machine connect to. What does not: reading the bytes that
came (``readers``, ``typed``).
"""
