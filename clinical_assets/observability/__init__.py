"""What is seen from outside: metrics for Prometheus, and alerts for people."""
