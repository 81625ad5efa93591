"""From raw records to typed ones: row rules, rules across rows, findings and quarantine."""
