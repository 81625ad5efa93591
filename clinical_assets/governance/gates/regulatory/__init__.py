"""Gate 4, regulation: what a reviewer must find written, and whether the training can be made again."""
