"""A model's trades over the recorded past, through the same functions as a scan."""
