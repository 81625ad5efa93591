"""Commands that run and watch the platform."""
