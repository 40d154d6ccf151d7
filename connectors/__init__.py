"""Every edge: payment providers, ClickHouse, webhooks, reports."""
