"""Scans on a schedule, stored, compared with the last one, and reported."""
