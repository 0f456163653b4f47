"""The arithmetic of edges: pure functions over columns."""
