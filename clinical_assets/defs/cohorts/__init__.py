"""From a source to validated records: assets and checks of the groups ``raw``, ``validated`` and ``quarantine``."""
