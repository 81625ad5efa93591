"""Promotion and rollback: what blocks them, and the switch itself."""
