"""Chaos: the whole stack under load while everything in it is killed, stopped and replaced; then every record is recomputed."""
