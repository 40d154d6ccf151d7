"""HTTP: the registry, and what upstream systems, operators and consoles call."""
