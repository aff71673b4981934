"""From the configuration to connected hosts."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from tests.unit.driver.hosted import CONFIG, Hosted, spec, until
from vimdriver._images.local import LocalImages
from vimdriver.nova._events import HostAway, HostBack, PowerMoved, Report, transition
from vimdriver.nova._hosts import HostSettings, Node, configured
from vimlib.errors import ConnectError, LoginError, UsageError, VimlibError

ONE = {"url": "https://esx1/sdk", "username": "root", "password_file": "/etc/nova/esx"}


class Values(dict[str, Any]):
    """The group of a configuration: by attribute, and as a mapping."""

    def __getattr__(self, name: str) -> Any:
        return self.get(name)


def test_one_host_is_named_as_the_service() -> None:
    (host,) = configured(Values(ONE, pin="AB:CD"), "compute1")
    assert (host.name, host.url, host.pin, host.ca) == (
        "compute1",
        "https://esx1/sdk",
        "AB:CD",
        None,
    )
    assert host.password_file == Path("/etc/nova/esx")


@pytest.mark.parametrize("missing", sorted(ONE))
def test_a_missing_option_of_a_host_is_refused(missing: str) -> None:
    with pytest.raises(UsageError, match=f"{missing} is required"):
        configured(Values({**ONE, missing: None}), "c")


TWO = """
[[host]]
name = "rack1"
url = "esx1"
username = "root"
password_file = "/p1"
[[host]]
name = "rack2"
url = "esx2"
username = "root"
password_file = "/p2"
ca = "/ca.pem"
"""


def test_several_hosts_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "hosts.toml"
    file.write_text(TWO)
    found = configured(Values(hosts_file=str(file)), "c")
    assert [(one.name, one.url, one.ca) for one in found] == [
        ("rack1", "esx1", None), ("rack2", "esx2", "/ca.pem")]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "must have one or more"),
        ("x = ", "must be TOML"),
        ("[[host]]\nname = 'a'\n", "host 1: url is required"),
        (TWO.replace("rack2", "rack1"), "'rack1' is there twice"),
        (TWO + "passwrd = 'x'\n", "host 2: unknown 'passwrd'"),
    ],
)
def test_a_file_that_is_wrong(text: str, message: str, tmp_path: Path) -> None:
    file = tmp_path / "hosts.toml"
    file.write_text(text)
    with pytest.raises(UsageError, match=message):
        configured(Values(hosts_file=str(file)), "c")


def test_a_missing_hosts_file_or_one_with_a_url_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="hosts_file cannot be read"):
        configured(Values(hosts_file=str(tmp_path / "none")), "c")
    with pytest.raises(UsageError, match="either url or hosts_file, got both"):
        configured(Values(ONE, hosts_file="x"), "c")


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        (None, "poweredOn", None),
        ("poweredOn", None, None),
        ("poweredOn", "poweredOn", None),
        ("poweredOff", "poweredOn", "STARTED"),
        ("suspended", "poweredOn", "RESUMED"),
        ("poweredOn", "poweredOff", "STOPPED"),
        ("suspended", "poweredOff", "STOPPED"),
        ("poweredOn", "suspended", "SUSPENDED"),
    ],
)
def test_changes_of_power_state_map_to_lifecycle_events(
    before: str | None, after: str | None, expected: str | None
) -> None:
    assert transition(before, after) == expected


def node(host: Hosted, folder: Path, reports: list[Report], **other: Any) -> Node:
    password = folder / "password"
    password.write_text(host.esx.credentials.password)
    settings = HostSettings(
        name="n",
        username=host.esx.credentials.username,
        password_file=password,
        **{"url": host.esx.url, "pin": host.esx.thumbprint} | other,
    )
    return Node(settings, CONFIG, folder, reports.append)


async def test_changes_of_our_machines_are_reported(
    host: Hosted, image: Path, tmp_path: Path
) -> None:
    reports: list[Report] = []
    one = node(host, tmp_path, reports)
    async with one.running():
        driver = await one.driver()
        made = await driver.spawn(spec("web"), source=LocalImages().image(str(image)))
        await until(lambda: one.states.state(made.uuid) == "poweredOn")
        await driver.power_off(made.uuid)
        await until(lambda: PowerMoved(made.uuid, "STOPPED") in reports)
        assert one.states.state(made.uuid) == "poweredOff"
        await driver.destroy(made.uuid)
        await until(lambda: one.states.state(made.uuid) is None)
        assert len((await one.identity()).uuid) == 36
    assert reports[0] == HostBack("n")
    assert host.state().sessions == 0


async def test_nothing_is_reported_of_a_machine_while_it_is_built(
    host: Hosted, image: Path, tmp_path: Path
) -> None:
    reports: list[Report] = []
    one = node(host, tmp_path, reports)
    async with one.running():
        driver = await one.driver()
        wanted = spec("web")
        with one.states.building(wanted.uuid):
            made = await driver.spawn(wanted, source=LocalImages().image(str(image)))
            await until(lambda: one.states.state(made.uuid) == "poweredOn")
        assert reports == [HostBack("n")]
        await driver.power_off(made.uuid)
        await until(lambda: reports[1:] == [PowerMoved(made.uuid, "STOPPED")])


async def test_a_host_that_is_away_is_reported_and_tried_again(
    host: Hosted, tmp_path: Path
) -> None:
    reports: list[Report] = []
    one = node(host, tmp_path, reports, url="https://127.0.0.1:1/sdk")
    async with one.running():
        with pytest.raises(ConnectError):
            await one.driver()
        object.__setattr__(one.settings, "url", host.esx.url)
        while not isinstance(reports[-1] if reports else None, HostBack):
            try:
                await one.driver()
            except VimlibError:
                pytest.fail("the second attempt failed")
            await asyncio.sleep(0)
    assert isinstance(reports[0], HostAway)
    assert reports[0].node == "n"
    assert reports[-1] == HostBack("n")


async def test_a_login_that_is_refused_later_is_tried_again(host: Hosted, tmp_path: Path) -> None:
    reports: list[Report] = []
    one = node(host, tmp_path, reports)
    async with one.running():
        first = await one.driver()
        (tmp_path / "password").write_text("changed on the host")
        host.beside.call(host.esx.expire_sessions)
        await until(lambda: isinstance(reports[-1], HostAway))
        with pytest.raises(LoginError):
            await one.driver()
        (tmp_path / "password").write_text(host.esx.credentials.password)
        again = await one.driver()
        assert again is not first
        assert (await again.host_identity()).uuid


async def test_a_wrong_pin_names_the_right_one(host: Hosted, tmp_path: Path) -> None:
    reports: list[Report] = []
    one = node(host, tmp_path, reports, pin="AB" * 32)
    async with one.running():
        with pytest.raises(VimlibError):
            await one.driver()
    (away,) = reports
    assert isinstance(away, HostAway)
    assert host.esx.thumbprint in away.reason
