"""Unit tests of connectors.clickhouse."""
