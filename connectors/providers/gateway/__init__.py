"""The gateway: calls providers for `provider.requests` and appends what they did to `payments.inputs`."""
