"""Several processes that train one cell together."""
