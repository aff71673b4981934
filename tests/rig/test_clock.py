"""The fake clock waits in real time for everything that takes real time."""

from __future__ import annotations

import asyncio
import threading

from tests.rig.clock import FakeClockLoop, run_hosted


def test_a_late_thread_is_joined_at_the_end() -> None:
    asked = threading.Event()
    released = threading.Event()

    async def leaves_a_thread() -> None:
        asyncio.get_running_loop().run_in_executor(None, released.wait)
        threading.Thread(target=release).start()

    def release() -> None:
        asked.wait()
        released.set()

    class Loop(FakeClockLoop):
        async def shutdown_default_executor(self, timeout: float | None = None) -> None:
            self.call_later(1, asked.set)  # by the fake clock: once everything else waits
            await super().shutdown_default_executor(timeout)

    with asyncio.Runner(loop_factory=Loop) as runner:
        runner.run(leaves_a_thread())
    assert released.is_set()


def test_an_hour_takes_no_time() -> None:
    async def hour() -> float:
        await asyncio.sleep(3600)
        return asyncio.get_running_loop().time()

    assert run_hosted(hour()) >= 3600
