"""What the exchange lists, as typed columns."""
