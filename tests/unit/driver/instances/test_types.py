"""Specifications of machines."""

from __future__ import annotations

from vimdriver import ConfigDrive, GuestConfig, InstanceSpec

HIDDEN = "canary-Zq9x7"


def test_the_repr_of_a_specification_has_no_secrets() -> None:
    spec = InstanceSpec(
        name="web",
        image=f"https://user:{HIDDEN}@images/web.img?X-Signature={HIDDEN}",
        datastore="datastore1",
        extra_config=(("guestinfo.password", HIDDEN),),
        metadata=(("admin", HIDDEN),),
        config_drive=ConfigDrive(
            user_data=HIDDEN.encode(), metadata=(("k", HIDDEN),), files=(("a", HIDDEN.encode()),)
        ),
    )
    assert HIDDEN not in repr(spec)
    assert "https://images/web.img" in repr(spec)
    assert "guestinfo.password" in repr(spec)


def test_the_repr_of_a_guests_settings_has_no_user_data() -> None:
    config = GuestConfig(hostname="web", user_data=HIDDEN, vendor_data=HIDDEN)
    assert HIDDEN not in repr(config)
    assert "web" in repr(config)
