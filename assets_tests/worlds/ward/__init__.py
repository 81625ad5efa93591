"""The made-up ward: trained, served, released."""
