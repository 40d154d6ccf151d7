"""The committed contracts in the REST shape of Confluent's schema registry, read only."""
