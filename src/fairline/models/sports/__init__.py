"""Models of games: teams, results, odds and ratings."""
