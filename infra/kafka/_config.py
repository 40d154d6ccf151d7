"""The files a node is started from: server.properties and log4j2.xml."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from xml.sax.saxutils import quoteattr

OFFSETS_RETENTION_MINUTES = 2_147_483_647  # for ever: the most that Kafka takes
INTERNAL_SEGMENT_BYTES = 1024 * 1024
INTERNAL_PARTITIONS = 8  # of the offsets and transaction topics: enough for one machine, and quick to create
LOG_FILE_MB = 10
LOG_FILES = 5
MESSAGE_MAX_BYTES = 4 * 1024 * 1024
SEGMENT_BYTES = 128 * 1024 * 1024
INDEX_BYTES = 1024 * 1024  # more than a full segment needs, and a tenth of what Kafka maps by default
CLEANER_BUFFER_BYTES = 32 * 1024 * 1024  # the default, 128 MiB, is a quarter of our heap
TRANSACTION_MAX_TIMEOUT_MS = 15 * 60 * 1000
MIN_SESSION_TIMEOUT_MS = 1_000


def server_properties(
    *,
    node_id: int,
    port: int,
    controller_port: int,
    voters: Mapping[int, int],
    log_dir: Path,
    settings: Mapping[str, str],
) -> str:
    """server.properties of a node that is broker and controller; `voters` are the controller ports by node."""
    replicas = min(3, len(voters))
    min_isr = max(1, replicas - 1)
    # A broker killed and started again is let in when its old session has expired. A lone node need not fear to be
    # taken for dead by the others, so it waits 4 s instead of 9.
    session = {"broker.session.timeout.ms": 4_000, "broker.heartbeat.interval.ms": 500} if len(voters) == 1 else {}
    properties = {
        "process.roles": "broker,controller",
        "node.id": node_id,
        "controller.quorum.voters": ",".join(f"{node}@127.0.0.1:{port}" for node, port in voters.items()),
        "listeners": f"PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller_port}",
        "advertised.listeners": f"PLAINTEXT://127.0.0.1:{port}",
        "controller.listener.names": "CONTROLLER",
        "listener.security.protocol.map": "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT",
        "log.dirs": log_dir,
        # Topics are created from the catalogue, never by a typing mistake.
        "auto.create.topics.enable": "false",
        "default.replication.factor": replicas,
        "min.insync.replicas": min_isr,
        # A stack that rests for longer than the default of a week must still know where it was.
        "offsets.retention.minutes": OFFSETS_RETENTION_MINUTES,
        "offsets.topic.replication.factor": replicas,
        "offsets.topic.num.partitions": INTERNAL_PARTITIONS,
        # A started broker reads these topics before it can answer for groups and transactions, and Kafka 4.2 can get that wrong
        # when it takes long: a coordinator answers before it has read its log, or never comes up (docs/decisions/0001). Small segments
        # are compacted soon, so there is little to read.
        "offsets.topic.segment.bytes": INTERNAL_SEGMENT_BYTES,
        "transaction.state.log.segment.bytes": INTERNAL_SEGMENT_BYTES,
        "transaction.state.log.replication.factor": replicas,
        "transaction.state.log.min.isr": min_isr,
        "transaction.state.log.num.partitions": INTERNAL_PARTITIONS,
        "transaction.max.timeout.ms": TRANSACTION_MAX_TIMEOUT_MS,
        # What a killed producer left open blocks readers of committed data until this sweep.
        "transaction.abort.timed.out.transaction.cleanup.interval.ms": 1_000,
        "share.coordinator.state.topic.replication.factor": replicas,
        "share.coordinator.state.topic.min.isr": min_isr,
        "share.coordinator.state.topic.num.partitions": INTERNAL_PARTITIONS,
        "group.initial.rebalance.delay.ms": 0,
        "group.min.session.timeout.ms": MIN_SESSION_TIMEOUT_MS,
        "message.max.bytes": MESSAGE_MAX_BYTES,
        "replica.fetch.max.bytes": MESSAGE_MAX_BYTES,
        "log.segment.bytes": SEGMENT_BYTES,
        "log.index.size.max.bytes": INDEX_BYTES,
        "log.cleaner.dedupe.buffer.size": CLEANER_BUFFER_BYTES,
        "num.io.threads": 4,
        "background.threads": 4,
        **session,
        **settings,
    }
    return "".join(f"{key}={value}\n" for key, value in properties.items())


def log4j2(*, log_file: Path, console: bool) -> str:
    """A rolling, bounded log file; with `console`, warnings and the news of being up also go to standard output."""
    name, pattern = quoteattr(str(log_file)), quoteattr(f"{log_file}.%i")
    return f"""<?xml version="1.0" encoding="UTF-8"?>
<Configuration status="error" shutdownHook="disable">
  <Appenders>
    <RollingFile name="file" fileName={name} filePattern={pattern}>
      <PatternLayout pattern="%d{{yyyy-MM-dd'T'HH:mm:ss.SSS}}{{UTC}}Z %p kafka %c{{1}} %m%n"/>
      <Policies><SizeBasedTriggeringPolicy size="{LOG_FILE_MB} MB"/></Policies>
      <DefaultRolloverStrategy max="{LOG_FILES - 1}"/>
    </RollingFile>
    <Console name="console" target="SYSTEM_OUT">
      <PatternLayout pattern="%d{{yyyy-MM-dd'T'HH:mm:ss.SSS}}{{UTC}}Z %p kafka %c{{1}} %m%n"/>
    </Console>
  </Appenders>
  <Loggers>
    <Logger name="org.apache.kafka.common.config" level="warn"/>
    <Logger name="kafka.server.KafkaRaftServer" level="info">
      {'<AppenderRef ref="console"/>' if console else ""}
    </Logger>
    <Root level="info">
      <AppenderRef ref="file"/>
      {'<AppenderRef ref="console" level="warn"/>' if console else ""}
    </Root>
  </Loggers>
</Configuration>
"""
