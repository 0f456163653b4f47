"""Models of prices that wander: coins and stock indices."""
