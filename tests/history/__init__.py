"""A checker of recorded operations on a log, after Jepsen's Kafka workload; knows nothing of who recorded them."""

from tests.history.checker import ANOMALIES, Anomaly, check
from tests.history.operations import Operation, Recorder

__all__ = ["ANOMALIES", "Anomaly", "Operation", "Recorder", "check"]
