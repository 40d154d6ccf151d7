"""Replay: folds the input log again and compares everything that was recorded, byte for byte (P4)."""

from streams.replay._fold import Cut, FoldReport, TopicCount
from streams.replay.difference import Difference, FieldDifference, Place
from streams.replay.digest import ALGORITHM, Digest, Tree, leaf_hash, node_hash
from streams.replay.errors import InputsGone, NotComparable, PublishRefused, ReplayError, TooMuch
from streams.replay.log import Bounds, KafkaLog, Log
from streams.replay.published import publish
from streams.replay.run import Report, make_cut, replay

__all__ = [
    "ALGORITHM",
    "Bounds",
    "Cut",
    "Difference",
    "Digest",
    "FieldDifference",
    "FoldReport",
    "InputsGone",
    "KafkaLog",
    "Log",
    "NotComparable",
    "Place",
    "PublishRefused",
    "ReplayError",
    "Report",
    "TooMuch",
    "TopicCount",
    "Tree",
    "leaf_hash",
    "make_cut",
    "node_hash",
    "publish",
    "replay",
]
