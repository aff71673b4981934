from __future__ import annotations

import pytest

from vimlib.simulator._core.versions import RELEASES, find_release, namespaces
from vimlib.simulator._protocol.documents import versions_document
from vimlib.simulator._protocol.wsdl import document


@pytest.mark.parametrize(
    ("asked", "api"),
    [("4.1", "4.1"), ("7.0", "7.0.3.0"), ("8.0.3.0", "8.0.3.0"), ("9.0", "9.0.0.0")],
)
def test_releases_by_name_and_by_version(asked: str, api: str) -> None:
    assert find_release(asked).api == api


@pytest.mark.parametrize("asked", ["", "3.5", "eight", "8.1"])
def test_an_unknown_release_is_refused(asked: str) -> None:
    with pytest.raises(ValueError, match=r"must be one of 4\.0, 4\.1"):
        find_release(asked)


def test_the_newest_namespace_is_the_releases_own() -> None:
    for release in RELEASES.values():
        assert namespaces(release)[0] == release.api
        assert f"<version>{release.api}</version>" in versions_document(release).decode()
    assert namespaces(RELEASES["4.0"]) == ["4.0", "2.5u2", "2.5", "2.0"]


def test_the_wsdl_has_what_the_release_has() -> None:
    old = (document("vim.wsdl", RELEASES["4.0"]) or b"").decode()
    new = (document("vim.wsdl", RELEASES["9.0"]) or b"").decode()
    assert 'name="RetrieveProperties"' in old
    assert 'name="RetrievePropertiesEx"' not in old
    assert 'name="RetrievePropertiesEx"' in new
    assert 'soapAction="urn:vim25/9.0.0.0"' in new
    assert document("nonsense", RELEASES["9.0"]) is None


@pytest.mark.slow
def test_zeep_loads_it(tmp_path: object) -> None:
    from pathlib import Path

    import zeep

    folder = Path(str(tmp_path))
    for name in ("vimService.wsdl", "vim.wsdl", "vim-types.xsd"):
        (folder / name).write_bytes(document(name, RELEASES["4.1"]) or b"")
    client = zeep.Client(str(folder / "vimService.wsdl"))
    [service] = client.wsdl.services.values()
    operations = service.ports["VimPort"].binding._operations
    assert len(operations) > 480
    assert "PowerOnVM_Task" in operations
