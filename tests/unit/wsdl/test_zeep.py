"""A WSDL reader that we did not write loads the description, whole."""

from pathlib import Path

import pytest
from zeep import Client


@pytest.mark.slow
def test_zeep_loads_it(committed: Path) -> None:
    client = Client(str(committed / "vim25.wsdl"))
    binding = client.service._binding
    assert len(binding._operations) == 975
    for operation in binding._operations.values():
        assert operation.input.signature()
        assert operation.faults
    assert len([e for e in client.wsdl.types.elements if e.name.endswith("Response")]) == 975
    device = client.get_type("{urn:vim25}VirtualE1000")
    assert [name for name, _ in device.elements][:4] == [
        "dynamicType", "dynamicProperty", "key", "deviceInfo"
    ]  # fmt: skip
