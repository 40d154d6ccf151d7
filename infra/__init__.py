"""Runs it: the `clearline` command and the embedded Kafka."""
