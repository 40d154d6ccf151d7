"""Measures the engine against its peers, and whole payments against a loop that decides nothing: `make bench`."""
