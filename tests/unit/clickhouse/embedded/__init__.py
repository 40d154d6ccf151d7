"""Unit tests of connectors.clickhouse.embedded."""
