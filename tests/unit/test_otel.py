from __future__ import annotations

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode

from tests.rig.login import connected
from vimlib import vim25
from vimlib._otel import tracing
from vimlib.simulator import ESXHost


async def test_each_call_is_a_span_without_secrets() -> None:
    kept = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(kept))
    middleware = [tracing(provider.get_tracer("test"))]
    async with ESXHost(vms=1) as esx, connected(esx, middleware=middleware) as client:
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
    assert esx.credentials.password not in "".join(
        span.to_json() for span in kept.get_finished_spans()
    )
