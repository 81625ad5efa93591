"""Gate 1, data quality: records, features, identifiers, values, label noise."""
