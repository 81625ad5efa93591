"""What all assets and checks have in common: how one is declared, its metadata, ledger entries, resources of a run."""
