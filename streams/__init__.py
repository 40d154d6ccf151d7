"""What happens to a payment: the pure core, the exactly-once runtime and the Faust agents between them."""
