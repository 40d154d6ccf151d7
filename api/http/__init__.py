"""Payments over HTTP, in Stripe's wire contract."""
