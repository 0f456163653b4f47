"""Models of elections: polls, states and races."""
