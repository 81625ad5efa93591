"""The pointer to the bundle that serves a cohort."""
