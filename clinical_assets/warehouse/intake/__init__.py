"""Records on their way in: the first ingestion, batches from the inbox, outcome files, and withdrawal."""
