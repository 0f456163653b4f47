"""Models of daily high and low temperatures."""
