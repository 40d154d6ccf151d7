"""What processes log of errors: the words of ours, the kind and the place of everybody else's."""

from __future__ import annotations

import io
import json
import logging
import subprocess
import sys
import threading

import pytest
from confluent_kafka import KafkaError, KafkaException

from schemas import logs
from schemas.errors import NotAvro

SECRET = "sk_test_4242424242424242"


@pytest.fixture
def lines():
    """A logger's output as processes write it."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(logs.Lines("%(levelname)s %(message)s"))
    logger = logging.Logger("test")  # noqa: LOG001 - of this test alone
    logger.addHandler(handler)
    return logger, stream.getvalue


def raised(error: BaseException) -> BaseException:
    """The error as it is caught."""
    with pytest.raises(type(error)) as caught:
        raise error
    return caught.value


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (ValueError(SECRET), "ValueError"),
        (KeyError(SECRET), "KeyError"),
        (AssertionError(SECRET), "AssertionError"),
        (json.JSONDecodeError(SECRET, SECRET, 0), "json.decoder.JSONDecodeError"),
        (NotAvro("no header"), "schemas.errors.NotAvro: no header"),
        (ConnectionRefusedError(111, "Connection refused"), "ConnectionRefusedError: Connection refused"),
        (OSError(SECRET), "OSError"),
        (FileNotFoundError(2, "No such file or directory", SECRET), "FileNotFoundError: No such file or directory"),
    ],
)
def test_words_are_ours_or_the_systems(error, words) -> None:
    """An outsider's words are not repeated, ours and the operating system's are; a file's name is a value."""
    assert logs.words(error) == words


def test_kafkas_words_are_shown() -> None:
    """What librdkafka says is needed to mend it."""
    error = KafkaException(KafkaError(KafkaError._TRANSPORT, "broker is away"))
    assert logs.words(error).endswith("KafkaException: broker is away")


@pytest.mark.parametrize("form", ["%s", "%r"])
def test_an_error_as_an_argument_is_shown_by_its_words(lines, form) -> None:
    """Whoever logs an error logs no value of an outsider's."""
    logger, text = lines
    logger.warning(f"away: {form}", ValueError(SECRET))  # noqa: G004 - the form varies
    logger.warning(f"away: {form}", NotAvro("no header"))  # noqa: G004
    logger.warning("away: %(why)s", {"why": ValueError(SECRET)})
    assert text() == "WARNING away: ValueError\nWARNING away: no header\nWARNING away: ValueError\n"


def test_a_traceback_has_places_and_kinds_of_all_causes_and_no_values(lines) -> None:
    """Cause, context and the parts of a group are told; what they say is not."""
    logger, text = lines
    try:
        try:
            int(SECRET)
        except ValueError as error:
            raise ExceptionGroup(SECRET, [raised(KeyError(SECRET)), NotAvro("ours")]) from error
    except ExceptionGroup:
        logger.exception("request_id=%s failed", "req_1")
    told = text()
    assert SECRET not in told
    assert "request_id=req_1 failed" in told
    assert "\nValueError\nwhich was the cause of:\n" in told
    assert "part 1 of 2:" in told
    assert "\nKeyError" in told
    assert "schemas.errors.NotAvro: ours" in told
    assert "int(SECRET)" in told, "the code's own lines say where"


def test_a_traceback_kept_by_another_formatter_is_not_taken(lines) -> None:
    """The standard formatter leaves its text in the record; ours writes its own."""
    logger, text = lines
    record = logger.makeRecord(
        "test", logging.ERROR, __file__, 1, "failed", (), (ValueError, raised(ValueError(SECRET)), None)
    )
    logging.Formatter().format(record)
    logger.handle(record)
    assert SECRET not in text()
    assert "ValueError" in text()


def test_asyncios_lines_have_no_arguments_and_no_errors(lines) -> None:
    """It shows tasks and handles, which show what they were given."""
    logger, text = lines
    logger.name = "asyncio"
    logger.warning("Executing %s took %.3f seconds", f"<Handle f('{SECRET}')>", 0.25)
    never = f"Task exception was never retrieved\nfuture: <Task exception=ValueError('{SECRET}')>"
    logger.error(never)
    told = text()
    assert SECRET not in told
    assert told == "WARNING Executing str took 0.250 seconds\nERROR Task exception was never retrieved\n"


def test_a_process_and_its_threads_end_without_values() -> None:
    """What nobody catches is written with kind and place; the status says that it failed."""
    program = (
        "import threading\nfrom schemas import logs\nlogs.start('test')\n"
        f"def f():\n    raise ValueError('{SECRET[:8]}' + '{SECRET[8:]}')\n"
        "one = threading.Thread(target=f, name='pump')\none.start()\none.join()\nf()\n"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 1
    assert SECRET not in ended.stderr
    assert ended.stderr.count("ValueError") == 2
    assert "pump ended" in ended.stderr


def test_a_chain_that_ends_in_itself_ends() -> None:
    """However errors are linked, a traceback is finite."""
    one, other = ValueError(), KeyError()
    one.__cause__, other.__cause__ = other, one
    assert logs.trace(one).count("ValueError") == 1
    deep: BaseException = ValueError()
    for _ in range(100):
        following = ValueError()
        following.__cause__ = deep
        deep = following
    assert logs.trace(deep).count("ValueError") == logs.CHAIN_MAX


def test_a_component_is_named_once_in_each_line(capsys) -> None:
    """Lines of a process say when, how bad and which component."""
    root = logging.getLogger()
    before, level, hooks = list(root.handlers), root.level, (sys.excepthook, threading.excepthook)
    try:
        logs.start("gateway")
        logging.getLogger("clearline.x").info("ready")
        assert capsys.readouterr().out.endswith(" INFO gateway ready\n")
    finally:
        root.handlers[:], root.level = before, level
        sys.excepthook, threading.excepthook = hooks
