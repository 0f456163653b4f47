"""Bring the past into a store: from the exchange, from its public daily files, and from anyone's tables."""
