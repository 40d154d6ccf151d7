"""Stripe's published schemas of the resources that we share, at the version that is live here as well: see NOTICE.md."""
