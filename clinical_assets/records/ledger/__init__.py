"""The hash-chained audit ledger: entries, guards, anchors, verification, export."""
