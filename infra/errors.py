"""What can be wrong with how a cluster is set up, each error with its remedy.

InfraError
├── KafkaUnreachable         no broker answers at the address
├── KafkaRefused             the broker answered a request of ours with a definite error
└── ConfigurationFault       something is set up differently from what exactly-once needs
├── TopicFault             one topic: partitions, clean-up, replication, min.insync.replicas, timestamps
├── TopicsNotReady         topics exist but have no leader everywhere before the deadline
├── FileFault              a configuration file: unreadable, unknown field, bad zone, bad cut-off, duplicate tenant
└── ConfigurationRaced     somebody else applied a configuration at the same time, again and again
"""

from __future__ import annotations


class InfraError(Exception):
    """Root of the tree; the text says what happened, `remedy` what to do."""

    def __init__(self, message: str, *, remedy: str) -> None:
        super().__init__(f"{message}. {remedy}")
        self.remedy = remedy


class KafkaUnreachable(InfraError):
    """No broker answered at `bootstrap`."""

    def __init__(self, bootstrap: str, reason: str) -> None:
        super().__init__(
            f"Kafka at {bootstrap} does not answer: {reason}",
            remedy="Start it (`clearline up`), or set CLEARLINE_KAFKA to the brokers' addresses",
        )
        self.bootstrap = bootstrap


class KafkaRefused(InfraError):
    """The broker refused `request` for good."""

    def __init__(self, request: str, reason: str) -> None:
        super().__init__(
            f"Kafka refused to {request}: {reason}",
            remedy="Look at the broker's log, and at the rights of the user in CLEARLINE_KAFKA_CONFIG",
        )
        self.request = request


class ConfigurationFault(InfraError):
    """Something is set up differently from what we need."""


class TopicFault(ConfigurationFault):
    """`setting` of `topic` is `found` where `wanted` is needed; `others` counts further faults found with it."""

    def __init__(self, topic: str, setting: str, *, found: str, wanted: str, remedy: str, others: int = 0) -> None:
        more = f" (and {others} more: `clearline topics` lists them)" if others else ""
        super().__init__(f"Topic {topic}: {setting} is {found}, wanted {wanted}{more}", remedy=remedy)
        self.topic = topic
        self.setting = setting
        self.found = found
        self.wanted = wanted
        self.others = others


class TopicMissing(TopicFault):
    """There is no topic of that name."""

    def __init__(self, topic: str) -> None:
        super().__init__(
            topic,
            "existence",
            found="missing",
            wanted="there",
            remedy="Create the topics with `clearline topics --create`; without --create it lists them",
        )


class TopicsNotReady(ConfigurationFault):
    """Topics without a leader on every partition when `deadline_s` seconds had passed; `missing` names them."""

    def __init__(self, missing: list[str], *, deadline_s: float) -> None:
        super().__init__(
            f"After {deadline_s:g} s these have no leader on every partition: {', '.join(missing)}",
            remedy="See whether all brokers run; a busy machine may just need another try",
        )
        self.missing = missing


class FileFault(ConfigurationFault):
    """A configuration file is wrong; `place` says where in it (`tenants[2].timezone`), empty for the whole file."""

    def __init__(self, path: str, place: str, reason: str, *, remedy: str) -> None:
        super().__init__(f"{path}{': ' + place if place else ''}: {reason}", remedy=remedy)
        self.path = path
        self.place = place
        self.reason = reason


class ConfigurationRaced(ConfigurationFault):
    """Others kept applying configurations in the middle of ours; nothing of ours was written."""

    def __init__(self, attempts: int) -> None:
        super().__init__(
            f"Another configuration was being applied each of the {attempts} times this one was tried",
            remedy="Let one program apply the configuration, then try again",
        )
