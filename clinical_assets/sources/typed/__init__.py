"""Formats whose values have types of their own: Parquet, JSON Lines, workbooks, files of statistical packages."""
