"""Settings, keys and connections: the only room that reads the environment and the user's folders."""
