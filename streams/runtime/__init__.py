"""Exactly once: transactional batches, state that follows its changelog, and the Faust shell around them."""

from streams.runtime.batch import Batch, Context, Handler, Rejection
from streams.runtime.config import TaskConfig
from streams.runtime.errors import (
    Abortable,
    Behind,
    ConfigurationFault,
    Fatal,
    Fenced,
    Indefinite,
    InputLost,
    NotHeld,
    NotRead,
    OutputOversized,
    PoisonRecord,
    Retriable,
    StoreBusy,
    StoreDamaged,
    StoreFailed,
    StreamsError,
    Transient,
)
from streams.runtime.faults import FAULT_POINTS, fault
from streams.runtime.faust_app import RuntimeApp, make_app
from streams.runtime.faust_source import Source
from streams.runtime.kafka import KafkaClients, SystemClock
from streams.runtime.record import Output, Record
from streams.runtime.state import POSITIONS_KEY, StateView
from streams.runtime.status import Counters, PartitionStatus, TaskStatus
from streams.runtime.store import RocksStores
from streams.runtime.table import GlobalTable
from streams.runtime.task import Processor, Task
from streams.runtime.topology import check_topology

__all__ = [
    "FAULT_POINTS",
    "POSITIONS_KEY",
    "Abortable",
    "Batch",
    "Behind",
    "ConfigurationFault",
    "Context",
    "Counters",
    "Fatal",
    "Fenced",
    "GlobalTable",
    "Handler",
    "Indefinite",
    "InputLost",
    "KafkaClients",
    "NotHeld",
    "NotRead",
    "Output",
    "OutputOversized",
    "PartitionStatus",
    "PoisonRecord",
    "Processor",
    "Record",
    "Rejection",
    "Retriable",
    "RocksStores",
    "RuntimeApp",
    "Source",
    "StateView",
    "StoreBusy",
    "StoreDamaged",
    "StoreFailed",
    "StreamsError",
    "SystemClock",
    "Task",
    "TaskConfig",
    "TaskStatus",
    "Transient",
    "check_topology",
    "fault",
    "make_app",
]
