"""Measure speed and memory, each with a baseline in the same run. `python -m benchmarks` runs all of them."""
