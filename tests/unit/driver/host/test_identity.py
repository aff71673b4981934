"""Which host this is."""

from __future__ import annotations

import pytest

from tests.unit.driver.hosted import Hosted
from vimdriver import HostIdentity, check_identities
from vimdriver.errors import HostIdentityError


def identity(uuid: str, host: str = "esx1:443") -> HostIdentity:
    return HostIdentity(
        host=host,
        name="esx1",
        moref="ha-host",
        hardware_uuid=uuid,
        vendor="Dell Inc.",
        model="R640",
        serial="",
    )


async def test_a_host_has_the_uuid_of_its_hardware(host: Hosted) -> None:
    async with host.driver() as driver:
        before = len(host.methods())
        found = await driver.host_identity()
        assert host.methods()[before:] == ["RetrievePropertiesEx"]
    assert found.uuid == host.esx.registry.one("HostSystem").uuid
    assert found.unique
    assert found.to_json()["moref"] == "ha-host"
    check_identities([found])


@pytest.mark.parametrize(
    "uuid",
    [
        "",
        "00000000-0000-0000-0000-000000000000",
        "ffffffff-ffff-ffff-ffff-ffffffffffff",
        "03000200-0400-0500-0006-000700080009",
    ],
)
def test_a_placeholder_identifies_nothing(uuid: str) -> None:
    found = identity(uuid)
    assert not found.unique
    with pytest.raises(HostIdentityError, match="must be a host's own") as caught:
        check_identities([found])
    assert caught.value.hosts == ("esx1:443",)


def test_two_hosts_of_one_uuid_are_named() -> None:
    uuid = "4c4c4544-0042-3510-8054-b7c04f4e5032"
    with pytest.raises(HostIdentityError) as caught:
        check_identities([identity(uuid), identity(uuid, "esx2:443")])
    assert caught.value.uuid == uuid
    assert "esx1:443 and esx2:443" in str(caught.value)
