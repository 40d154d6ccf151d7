"""The real runtime and the real folds on an in-memory Kafka, a virtual clock and one seeded scheduler."""
