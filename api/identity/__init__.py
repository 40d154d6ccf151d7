"""Who may do what: organisations, their tenants, operators and keys; and what is kept of every change."""
