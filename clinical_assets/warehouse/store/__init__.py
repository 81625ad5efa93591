"""One DuckDB file per cohort: connections, locks, encryption, transactions."""
