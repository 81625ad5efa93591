"""The command line: a list of commands, each imported when it runs.

What belongs here: reading arguments, calling a room, printing what it says. What does not: rules of any kind.
"""
