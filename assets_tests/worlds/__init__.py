"""Worlds that tests begin with; see README.md."""
