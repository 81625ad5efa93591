"""Gate 3, bias: differences between groups of people, before release and after it."""
