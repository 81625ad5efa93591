"""Pages for people: one Jinja environment, one stylesheet, one content security policy.

What belongs here: templates, the number formats they use, and the view models that a page is filled from. A room above
hands in a view model; this room knows nothing of dossiers, reports or pathways beyond their names on a page.
"""
