"""What others published and a description refers to: codes of terminologies, and formulas of papers."""
