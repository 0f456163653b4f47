"""Checks for developers that no published tool offers: the word list and the shape of the code."""
