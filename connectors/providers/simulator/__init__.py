"""Several payment providers in one HTTP server, with every way in which real ones misbehave, reproducible from a seed."""
