"""`vimctl demo`: push images and spawn machines on a simulated host, without any other service."""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Final

from vimdriver._cli.datastore import walk
from vimdriver._cli.exitcodes import Exit, combined
from vimdriver._cli.flags import within
from vimdriver._cli.image import show_results, tell
from vimdriver._cli.instance import COLUMNS
from vimdriver._cli.output import OUTPUT, Output
from vimdriver._cli.progress import meter
from vimdriver._cli.sim_options import Release
from vimdriver.errors import size_text

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from vimdriver._images.push import PushResult
    from vimdriver._images.source import ImageStore
    from vimdriver._instances.types import Instance
    from vimlib._client import Client

_DATASTORE: Final = "datastore1"
_FOLDER: Final = "images"
_NETWORK: Final = "VM Network"
_OWNER = "demo"

_REAL_HOST: Final = """
The same on a real host:

  export VIMLIB_URL=https://esx1.example.com/sdk VIMLIB_USERNAME=root   # and VIMLIB_PASSWORD
  vimctl about                # prints the --pin to accept if the certificate is not trusted
  vimctl image push IMAGE... --datastore DS --glance URL      # or OS_CLOUD, a file, an https URL
  vimctl instance spawn --name web --image IMAGE --datastore DS --network "VM Network"
"""


@dataclass(frozen=True, slots=True)
class _Stage:
    """The simulated environment of the demo."""

    client: Client
    store: ImageStore
    images: Sequence[str]
    """Names of all images."""


async def demo(
    *,
    image_mib: Annotated[int, within(1)] = 64,
    api_version: Release = "8.0",
    output: Output = OUTPUT,
) -> int:
    """Push four images into a simulated host, run a machine from each, remove everything.

    The host and the image service run in this process, on the loopback interface. `--json` prints
    one document: {"images": [...], "instances": [...], "leftovers": []}; the leftovers are read
    from the host after the removal.

    Args:
        image_mib: Minimum size of each image in MiB.
        api_version: Release of the simulated host.
    """
    async with _stage(image_mib, api_version, output) as stage:
        results = await _push(stage, output)
        code = combined(result.error for result in results)
        instances: list[Instance] = []
        if code is Exit.OK:
            instances = await _machines(stage, results, output)
        await stage.client.datastore(_DATASTORE).delete(_FOLDER, missing_ok=True)
        leftovers = await _leftovers(stage.client)
    if output.json:
        output.line(
            {
                "images": [result.to_json() for result in results],
                "instances": [instance.to_json() for instance in instances],
                "leftovers": leftovers,
            }
        )
    if leftovers:
        output.say(f"not removed from the host: {', '.join(leftovers)}")
        return Exit.FAILED
    output.say("\nremoved machines and images; the host is empty again")
    if code is Exit.OK:
        output.say(_REAL_HOST)
    return code


@asynccontextmanager
async def _stage(image_mib: int, api_version: Release, output: Output) -> AsyncIterator[_Stage]:
    import vimlib
    from vimdriver._images.embedded import EmbeddedGlance, demo_images
    from vimdriver._images.glance import Glance
    from vimdriver._images.http import HttpClient
    from vimlib.simulator import ESXHost

    images = demo_images(image_mib)
    output.say(f"creating {len(images)} images...")
    async with (
        EmbeddedGlance(images) as service,
        ESXHost(version=api_version, datastores={_DATASTORE: None}) as esx,
        HttpClient() as http,
        vimlib.connect(
            esx.url,
            esx.credentials.username,
            esx.credentials.password,
            tls=vimlib.TLS(pin=esx.thumbprint),
        ) as client,
    ):
        output.say(f"image service   {service.url} (Glance v2)")
        output.say(f"simulated host  {esx.url} ({client.about.fullName}), pinned\n")
        yield _Stage(
            client,
            Glance(http, service.url),
            [image.name for image in images],
        )


async def _push(stage: _Stage, output: Output) -> list[PushResult]:
    from vimdriver._config import DriverConfig
    from vimdriver._images.push import push_images

    output.say(f"pushing {len(stage.images)} images in parallel into [{_DATASTORE}] {_FOLDER}")
    began = time.monotonic()
    with meter(output) as progress:
        results = await push_images(
            stage.client,
            stage.store,
            stage.images,
            datastore=_DATASTORE,
            directory=_FOLDER,
            concurrency=len(stage.images),
            events=tell(progress),
            config=DriverConfig(owner=_OWNER),
        )
    seconds = time.monotonic() - began
    if not output.json:
        show_results(results, output)
    total = sum(result.bytes for result in results)
    output.say(f"{size_text(total)} in {seconds:.1f} s, {size_text(total / seconds)}/s\n")
    return results


async def _machines(stage: _Stage, pushed: list[PushResult], output: Output) -> list[Instance]:
    """Create a machine from each disk that was pushed, all at once; list them, remove them."""
    from vimdriver._config import DriverConfig
    from vimdriver._driver import ESXDriver
    from vimdriver._instances.types import InstanceSpec, NICSpec

    driver = ESXDriver(stage.client, stage.store, DriverConfig(owner=_OWNER))
    specs = [
        InstanceSpec(
            name=f"demo-{number + 1}",
            image=result.datastore_path,
            datastore=_DATASTORE,
            nics=(
                NICSpec(
                    network=_NETWORK,
                    mac=f"00:50:56:00:00:{number + 1:02x}",
                    addresses=(f"10.0.0.{number + 2}/24",),
                    gateway="10.0.0.1",
                ),
            ),
        )
        for number, result in enumerate(pushed)
    ]
    output.say(f"spawning {len(specs)} machines, each from a copy of a disk")
    async with asyncio.TaskGroup() as group:
        for spec in specs:
            group.create_task(driver.spawn(spec))
    instances = await driver.list_instances()
    if not output.json:
        output.table(COLUMNS, [instance.to_json() for instance in instances])
    output.say("\ndestroying the machines")
    for instance in instances:
        await driver.destroy(instance.uuid)
    return instances


async def _leftovers(client: Client) -> list[str]:
    """Return the objects left on the host: machines, and files and folders of the datastore."""
    from vimlib import vim25
    from vimlib._datastore import DatastorePath

    left = [
        f"machine {row.get('name')}" async for row in client.collect(vim25.VirtualMachine, "name")
    ]
    left += [str(entry.path) async for entry in walk(client, DatastorePath(_DATASTORE))]
    return left
