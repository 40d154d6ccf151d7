"""Webhooks: tells tenants' endpoints what happened, signed, until they have accepted it."""
