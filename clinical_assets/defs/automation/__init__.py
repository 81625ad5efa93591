"""What starts runs: jobs, schedules and sensors; and counts of runs for metrics."""
