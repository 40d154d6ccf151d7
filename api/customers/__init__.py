"""Customers, saved payment methods and setup intents over HTTP."""
