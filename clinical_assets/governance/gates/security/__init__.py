"""Gate 5, security: packages, advisories, and what lies in the bundle."""
