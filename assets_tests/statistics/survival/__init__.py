"""Tests of outcomes that take time."""
