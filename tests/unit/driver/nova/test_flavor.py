"""Hardware of flavors and images: what nova's own driver for VMware takes, and what it refuses."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from vimdriver._instances.hardware import Allocation, HardwareSpec
from vimdriver.nova._flavor import hardware_of
from vimlib.errors import UsageError


def hardware(
    specs: dict[str, str] | None = None, image: dict[str, Any] | None = None, cores: int = 1
) -> HardwareSpec:
    return hardware_of(SimpleNamespace(extra_specs=specs or {}), image or {}, cores)


def test_without_any_the_host_chooses() -> None:
    assert hardware() == HardwareSpec()
    assert hardware_of(SimpleNamespace(), {}) == HardwareSpec()


def test_firmware() -> None:
    assert hardware(image={"hw_firmware_type": "uefi"}).firmware == "efi"
    assert hardware(image={"hw_firmware_type": "bios"}).firmware == "bios"
    with pytest.raises(UsageError, match="hw_firmware_type must be bios or uefi, got 'x'"):
        hardware(image={"hw_firmware_type": "x"})


def test_hardware_version_and_topology() -> None:
    assert hardware({"vmware:hw_version": "vmx-13"}).version == "vmx-13"
    with pytest.raises(UsageError, match="hardware version must be like vmx-13, got '13'"):
        hardware({"vmware:hw_version": "13"})
    assert hardware(cores=4).cores_per_socket == 4
    assert hardware(cores=1).cores_per_socket is None


def test_video_memory_within_the_limit_of_the_flavor() -> None:
    found = hardware({"hw_video:ram_max_mb": "64"}, {"hw_video_ram": 32})
    assert found.video_ram_mb == 32
    for limit in (None, {"hw_video:ram_max_mb": "16"}):
        with pytest.raises(UsageError, match=r"hw_video_ram must be at most \d+ MiB, .*, got 32"):
            hardware(limit, {"hw_video_ram": 32})


@pytest.mark.parametrize(
    ("word", "field"),
    [("cpu", "cpu"), ("memory", "memory"), ("disk_io", "disk"), ("vif", "network")],
)
def test_limits_reservations_and_shares(word: str, field: str) -> None:
    def found(**values: str) -> Allocation | None:
        given = hardware({f"quota:{word}_{name}": value for name, value in values.items()})
        allocation: Allocation | None = getattr(given, field)
        return allocation

    assert found(limit="7", reservation="3") == Allocation(limit=7, reservation=3)
    assert found(shares_level="high") == Allocation(shares="high")
    assert found(shares_level="custom", shares_share="1948") == Allocation(shares=1948)
    assert found(limit="0", reservation="0") is None
    for values, rule in (
        ({"limit": "many"}, f"quota:{word}_limit must be a number, got 'many'"),
        ({"limit": "-2"}, f"quota:{word}: limit must be at least 1, or -1 for none, got -2"),
        ({"shares_level": "custom"}, f"quota:{word}_shares_share is required with"),
        (
            {"shares_level": "high", "shares_share": "1"},
            f"quota:{word}_shares_level must be custom",
        ),
        ({"shares_level": "huge"}, "shares must be low, normal, high or a number, got 'huge'"),
    ):
        with pytest.raises(UsageError, match=rule):
            found(**values)
