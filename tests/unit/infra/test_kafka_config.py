"""The files a node is started from."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree as ET

from infra.kafka import _config


def _properties(voters, **settings):
    text = _config.server_properties(
        node_id=1, port=1001, controller_port=2001, voters=voters, log_dir=Path("/data"), settings=settings
    )
    return dict(line.split("=", 1) for line in text.splitlines())


def test_a_lone_node_keeps_one_copy():
    """One broker: one replica everywhere, topics only from the catalogue, and short sessions allowed."""
    properties = _properties({1: 2001})
    assert properties["transaction.state.log.replication.factor"] == "1"
    assert properties["transaction.state.log.min.isr"] == "1"
    assert properties["auto.create.topics.enable"] == "false"
    assert properties["group.min.session.timeout.ms"] == "1000"
    assert properties["controller.quorum.voters"] == "1@127.0.0.1:2001"


def test_three_nodes_keep_three_copies_of_which_two_suffice():
    """A cluster survives the loss of any one broker without losing or refusing a write."""
    properties = _properties({1: 2001, 2: 2002, 3: 2003})
    for topic in ("offsets.topic", "transaction.state.log"):
        assert properties[f"{topic}.replication.factor"] == "3"
    assert properties["transaction.state.log.min.isr"] == properties["min.insync.replicas"] == "2"
    assert "broker.session.timeout.ms" not in properties


def test_own_settings_win():
    """What the caller sets replaces what we would have set."""
    assert _properties({1: 2001}, **{"message.max.bytes": "77"})["message.max.bytes"] == "77"


def test_the_log_is_bounded_and_its_path_is_quoted():
    """The log rolls by size and keeps a fixed number of files, also under a path with awkward characters."""
    root = ET.fromstring(_config.log4j2(log_file=Path('/tmp/a "b" & c/server.log'), console=False))
    file = root.find("Appenders/RollingFile")
    assert file is not None
    assert file.get("fileName") == '/tmp/a "b" & c/server.log'
    assert file.find("Policies/SizeBasedTriggeringPolicy").get("size") == f"{_config.LOG_FILE_MB} MB"
    assert file.find("DefaultRolloverStrategy").get("max") == str(_config.LOG_FILES - 1)
    assert [ref.get("ref") for ref in root.findall(".//AppenderRef")] == ["file"]


def test_with_console_warnings_reach_standard_output():
    """A supervisor that reads standard output sees warnings and the news of being up."""
    root = ET.fromstring(_config.log4j2(log_file=Path("server.log"), console=True))
    levels = {ref.get("ref"): ref.get("level") for ref in root.findall("Loggers/Root/AppenderRef")}
    assert levels == {"file": None, "console": "warn"}
