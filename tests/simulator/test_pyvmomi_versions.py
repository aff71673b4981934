from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest

from tests.simulator.conftest import Host, browsing
from tests.simulator.vmomi import vim, vmodl
from vimlib.simulator._core.versions import RELEASES

pytestmark = pytest.mark.slow
Collector = vmodl.query.PropertyCollector


@pytest.mark.parametrize("version", list(RELEASES))
def test_each_release_works_a_machine(connect: Callable[..., Host], version: str) -> None:
    host = connect(version=version, vms=1)
    about = host.content.about
    assert about.apiVersion == RELEASES[version].api
    assert about.version in about.fullName
    vm = host.create("worked", disk_kb=1024, nic=True)
    host.done(vm.ReconfigVM_Task(vim.vm.ConfigSpec(annotation="x")))
    host.done(vm.PowerOnVM_Task())
    assert vm.summary.runtime.powerState == "poweredOn"
    host.done(vm.PowerOffVM_Task())
    host.done(vm.Destroy_Task())


def test_an_old_host_has_no_newer_fields(connect: Callable[..., Host]) -> None:
    host = connect(version="4.0", vms=1)
    vm = host.datacenter.vmFolder.childEntity[0]
    config = vm.config
    assert config.firmware is None
    assert config.hardware.numCoresPerSocket is None
    assert config.instanceUuid
    assert config.version == "vmx-07"


def post(host: Host, body: str, action: str = "urn:vim25/8.0.3.0") -> Any:
    with browsing(host.esx) as session:
        return session.post(
            host.esx.url,
            data=f'<soap:Envelope xmlns:soap="http://schemas.xmlsoap.org/soap/envelope/" '
            f'xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"><soap:Body>{body}</soap:Body></soap:Envelope>',
            headers={"Cookie": host.si._stub.cookie.split(";")[0], "SOAPAction": action},
        )


def test_a_newer_method_is_refused(connect: Callable[..., Host]) -> None:
    host = connect(version="4.0")
    body = (
        '<RetrievePropertiesEx xmlns="urn:vim25"><_this type="PropertyCollector">ha-property-collector</_this>'
        "<options/></RetrievePropertiesEx>"
    )
    answer = post(host, body)
    assert answer.status_code == 500
    assert "InvalidRequest" in answer.text
    assert "Unable to resolve WSDL method name RetrievePropertiesEx" in answer.text
    assert host.esx.call_log[-1].method == "RetrievePropertiesEx"
    assert host.esx.call_log[-1].fault == "InvalidRequest"


def test_a_newer_field_is_refused(connect: Callable[..., Host]) -> None:
    host = connect(version="4.1", vms=1)
    vm = host.datacenter.vmFolder.childEntity[0]
    body = (
        f'<ReconfigVM_Task xmlns="urn:vim25"><_this type="VirtualMachine">{vm._moId}</_this>'
        "<spec><firmware>efi</firmware></spec></ReconfigVM_Task>"
    )
    answer = post(host, body)
    assert answer.status_code == 500
    assert 'Unexpected element tag "firmware"' in answer.text


@pytest.mark.parametrize(
    "body",
    [
        '<NoSuchMethod xmlns="urn:vim25"><_this type="ServiceInstance">ServiceInstance</_this></NoSuchMethod>',
        '<CurrentTime xmlns="urn:vim25"></CurrentTime>',
        "not xml <",
        "",
    ],
)
def test_malformed_requests_are_refused(shared: Host, body: str) -> None:
    answer = post(shared, body)
    assert answer.status_code == 500
    assert "InvalidRequest" in answer.text


def test_a_doctype_is_refused(shared: Host) -> None:
    with browsing(shared.esx) as session:
        answer = session.post(shared.esx.url, data='<!DOCTYPE x [<!ENTITY a "b">]><x>&a;</x>')
    assert answer.status_code == 500
    assert "InvalidRequest" in answer.text


@pytest.mark.parametrize("version", list(RELEASES))
def test_the_documents_about_the_service(connect: Callable[..., Host], version: str) -> None:
    host = connect(version=version)
    base = host.esx.url
    with browsing(host.esx) as session:
        versions = session.get(f"{base}/vimServiceVersions.xml").text
        assert f"<name>urn:vim25</name><version>{RELEASES[version].api}</version>" in versions
        assert "<version>2.5</version>" in versions
        service = session.get(f"{base}/vimService.wsdl").text
        assert 'location="vim.wsdl"' in service
        operations = session.get(f"{base}/vim.wsdl").text
        assert ('name="RetrievePropertiesEx"' in operations) == (version != "4.0")
        types = session.get(f"{base}/vim-types.xsd").text
        assert ('name="firmware"' in types) == (RELEASES[version].numbers >= (5,))
        used = set(re.findall(r'(?:type|base)="vim25:(\w+)"', types))
        assert used <= set(re.findall(r'<xsd:(?:complex|simple)Type name="(\w+)"', types))
        assert session.get(f"{base}/nonsense.wsdl").status_code == 404
        assert session.get(base).status_code == 405


def test_a_legacy_host_speaks_old_tls_only(connect: Callable[..., Host]) -> None:
    import socket
    import ssl
    import warnings

    from vimlib.simulator._run import in_thread

    with in_thread(version="4.1", legacy_tls=True) as esx:
        modern = ssl.create_default_context(cadata=esx.certificate_pem.decode())
        with (
            socket.create_connection(("127.0.0.1", esx.port)) as raw,
            pytest.raises(ssl.SSLError),
        ):
            modern.wrap_socket(raw, server_hostname="127.0.0.1")
        old = ssl.create_default_context(cadata=esx.certificate_pem.decode())
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            old.minimum_version = ssl.TLSVersion.TLSv1
        old.set_ciphers("ALL:@SECLEVEL=0")
        with (
            socket.create_connection(("127.0.0.1", esx.port)) as raw,
            old.wrap_socket(raw, server_hostname="127.0.0.1") as wrapped,
        ):
            assert wrapped.version() == "TLSv1"
