"""Who is at the pages: people of the installation, their sessions, and what their roles let them do.

What belongs here: signing in and out. What does not: passwords and roles themselves (``governance.signing``).
"""
