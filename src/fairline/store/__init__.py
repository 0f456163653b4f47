"""Append-only datasets in Parquet, by day, and SQL over them."""
