from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.cli.conftest import Vimctl

WSDL = """<?xml version="1.0"?>
<definitions xmlns="http://schemas.xmlsoap.org/wsdl/" xmlns:soap="http://schemas.xmlsoap.org/wsdl/soap/"
    xmlns:xsd="http://www.w3.org/2001/XMLSchema" xmlns:t="urn:greet" targetNamespace="urn:greet">
  <types><xsd:schema targetNamespace="urn:greet" elementFormDefault="qualified">
    <xsd:element name="Greet"><xsd:complexType><xsd:sequence>
      <xsd:element name="name" type="xsd:string"/></xsd:sequence></xsd:complexType></xsd:element>
    <xsd:element name="GreetResponse"><xsd:complexType><xsd:sequence>
      <xsd:element name="returnval" type="xsd:string"/></xsd:sequence></xsd:complexType></xsd:element>
  </xsd:schema></types>
  <message name="GreetRequest"><part name="parameters" element="t:Greet"/></message>
  <message name="GreetResponse"><part name="parameters" element="t:GreetResponse"/></message>
  <portType name="GreetPortType"><operation name="Greet">
    <input message="t:GreetRequest"/><output message="t:GreetResponse"/></operation></portType>
  <binding name="GreetBinding" type="t:GreetPortType">
    <soap:binding style="document" transport="http://schemas.xmlsoap.org/soap/http"/>
    <operation name="Greet"><soap:operation soapAction="urn:greet"/>
      <input><soap:body use="literal"/></input><output><soap:body use="literal"/></output></operation>
  </binding>
  <service name="GreetService"><port name="Greet" binding="t:GreetBinding">
    <soap:address location="https://localhost/sdk"/></port></service>
</definitions>
"""


def test_a_package_is_generated_from_a_wsdl(vimctl: Vimctl, tmp_path: Path) -> None:
    pytest.importorskip("zeep")
    wsdl, out = tmp_path / "greet.wsdl", tmp_path / "greet"
    wsdl.write_text(WSDL)
    words = ("codegen", wsdl, "-o", out)
    vimctl(*words, "--check", code=1)
    assert not out.exists()
    made = vimctl.json(*words)
    assert made["package"] == str(out)
    assert (out / "__init__.py").exists()
    assert vimctl.json(*words, "--check")["changed"] == []
    assert "up to date" in vimctl(*words).out


def test_an_invalid_wsdl_is_refused(vimctl: Vimctl, tmp_path: Path) -> None:
    pytest.importorskip("zeep")
    (tmp_path / "x.wsdl").write_text("<nothing/>")
    vimctl("codegen", tmp_path / "x.wsdl", "-o", tmp_path / "out", code=2)
    vimctl("codegen", tmp_path / "missing", "-o", tmp_path / "out", code=4)
