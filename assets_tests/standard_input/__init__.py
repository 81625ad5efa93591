"""Tests of standard input."""
