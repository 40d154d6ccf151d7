"""A running API held to what its OpenAPI documents promise, by Schemathesis: `python -m tests.fuzz`, `make fuzz`."""
