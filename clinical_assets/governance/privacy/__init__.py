"""People's data: finding what identifies somebody, and erasing somebody."""
