"""Users, their passwords and where a request brings them."""

import base64

import pytest

from connectors.clickhouse.embedded import errors
from connectors.clickhouse.embedded.users import User, credentials, read_users


def basic(text):
    """A header of basic authentication."""
    return {"Authorization": "Basic " + base64.b64encode(text.encode()).decode()}


def test_owner_and_reader():
    """The URL's user may write and `reader` may read, both with the URL's password."""
    users = read_users(owner="clearline", password="pw", configured="")
    assert users.authenticate("clearline", "pw").role == "writer"
    assert users.authenticate("reader", "pw").role == "reader"


def test_configured_users_come_on_top():
    """The JSON list adds users and may redefine the two that are always there."""
    users = read_users(
        owner="clearline",
        password="pw",
        configured='[{"name": "reader", "password": "other"}, {"name": "root", "role": "admin", "password": "r"}]',
    )
    assert users.authenticate("reader", "other").role == "reader"
    assert users.authenticate("root", "r").role == "admin"


@pytest.mark.parametrize(
    ("name", "password"), [("clearline", "wrong"), ("clearline", ""), ("nobody", "pw"), ("", "pw"), ("CLEARLINE", "pw")]
)
def test_refused(name, password):
    """A wrong password and an unknown user get the same answer."""
    users = read_users(owner="clearline", password="pw", configured="")
    with pytest.raises(errors.QueryError, match="password is incorrect, or there is no user with such name") as raised:
        users.authenticate(name, password)
    assert raised.value.code == 516


def test_unknown_user_has_no_empty_password():
    """A name that does not exist is refused with an empty password, too."""
    with pytest.raises(errors.QueryError):
        read_users(owner="clearline", password="pw", configured="").authenticate("nobody", "")


@pytest.mark.parametrize(
    "configured",
    ["{", "{}", '[{"name": "x", "role": "god"}]', '[{"name": "x", "pass": "secret"}]', '[{"password": "secret"}]'],
)
def test_bad_configuration(configured):
    """A list that can't be read stops the start with a text that shows its shape and no password."""
    with pytest.raises(errors.StartError, match="CLEARLINE_WAREHOUSE_USERS") as raised:
        read_users(owner="clearline", password="pw", configured=configured)
    assert "secret" not in str(raised.value)


def test_repr_hides_the_password():
    """A user in a log has no password."""
    assert "secret" not in repr(User(name="x", password="secret"))


@pytest.mark.parametrize(
    ("headers", "query", "expected"),
    [
        ({"X-ClickHouse-User": "a", "X-ClickHouse-Key": "b"}, {"user": "z"}, ("a", "b")),
        ({"X-ClickHouse-User": "a"}, {}, ("a", "")),
        (basic("a:b:c"), {}, ("a", "b:c")),
        ({}, {"user": "a", "password": "b"}, ("a", "b")),
        ({}, {}, None),
    ],
)
def test_credentials(headers, query, expected):
    """Headers of ClickHouse, basic authentication and the URL are all understood."""
    assert credentials(headers, query) == expected


@pytest.mark.parametrize(
    "headers",
    [{"X-ClickHouse-User": "a", **basic("a:b")}, {"Authorization": "Bearer x"}, {"Authorization": "Basic ???"}],
)
def test_unreadable_credentials(headers):
    """Two kinds at once, another scheme and rubbish are refused as a failed authentication."""
    with pytest.raises(errors.QueryError) as raised:
        credentials(headers, {})
    assert raised.value.code == 516
