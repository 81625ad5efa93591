"""What the platform shows and says to the outside: metrics for Prometheus, alerts for people."""
