"""Commands about gates, dossiers, people, signatures and the ledger."""
