from __future__ import annotations

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode

import vimlib
from vimlib import vim25
from vimlib._otel import tracing
from vimlib.simulator import ESXHost


async def test_each_call_is_a_span_without_secrets() -> None:
    kept = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(kept))
    async with ESXHost(vms=1) as esx:
        login = esx.credentials
        async with vimlib.connect(
            esx.url,
            login.username,
            login.password,
            tls=vimlib.TLS(pin=esx.thumbprint),
            middleware=[tracing(provider.get_tracer("test"))],
        ) as client:
            vm = vim25.VirtualMachine("no-such")
            with pytest.raises(vim25.ManagedObjectNotFound):
                await client.bind(vm).PowerOnVM_Task()
    spans = {span.name: span for span in kept.get_finished_spans()}
    assert {"RetrieveServiceContent", "Login", "PowerOnVM_Task", "Logout"} <= set(spans)
    failed = spans["PowerOnVM_Task"]
    assert failed.attributes is not None
    assert failed.attributes["rpc.service"] == "VirtualMachine"
    assert failed.attributes["vim.object"] == "no-such"
    assert failed.status.status_code is StatusCode.ERROR
    assert spans["Login"].status.status_code is StatusCode.UNSET
    assert login.password not in "".join(span.to_json() for span in kept.get_finished_spans())
