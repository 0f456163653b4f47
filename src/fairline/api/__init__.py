"""The library's functions and their results. `fairline` itself exports them."""
