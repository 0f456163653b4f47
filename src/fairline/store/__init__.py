"""Append-only datasets by day, and SQL over them."""
