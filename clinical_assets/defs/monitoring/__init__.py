"""Watching the champion: the assets and checks that registered reports become, recommendation and page."""
