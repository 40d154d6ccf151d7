"""Payouts, settlement windows and reconciliations: what of the tenant's money was settled, and where it went."""
