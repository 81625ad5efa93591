"""Exact signed-rank statistics for many sets at once: membership of sets, the kernel, the test."""
