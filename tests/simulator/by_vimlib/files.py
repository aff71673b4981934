"""Files: by the FileManager, the browser, and over HTTP."""

from __future__ import annotations

from typing import Any

from tests.simulator.by_vimlib.stage import Stage, outcome, scenario, there
from vimlib import vim25
from vimlib.errors import NotFoundError


def manager(stage: Stage) -> vim25.FileManager:
    return there(stage.client.content.fileManager)


async def browser(stage: Stage) -> vim25.HostDatastoreBrowser:
    browser: vim25.HostDatastoreBrowser = (await stage.files.place()).browser
    return browser


async def filled(stage: Stage, *names: str) -> str:
    """Make a folder with files and return its name."""
    await stage.files.mkdir(folder := stage.name())
    for name in names:
        await stage.files.upload(f"{folder}/{name}", b"content")
    return folder


@scenario
async def makes_a_folder(stage: Stage) -> Any:
    await stage.files.mkdir(name := stage.name())
    return (await stage.files.stat(name)).is_dir


@scenario
async def makes_a_folder_twice(stage: Stage) -> Any:
    await stage.files.mkdir(name := stage.name())
    return await outcome(stage.files.mkdir(name))


@scenario
async def makes_a_folder_in_none(stage: Stage) -> Any:
    return await outcome(stage.files.mkdir(f"{stage.name()}/b"))


@scenario
async def makes_a_folder_with_its_parents(stage: Stage) -> Any:
    await stage.files.mkdir(path := f"{stage.name()}/b/c", parents=True)
    return await stage.files.exists(path)


@scenario
async def names_a_datastore_that_is_none(stage: Stage) -> Any:
    making = manager(stage).MakeDirectory("[nowhere] a", datacenter=stage.datacenter)
    return await outcome(making)


@scenario
async def sends_a_path_that_is_none(stage: Stage) -> Any:
    return await outcome(manager(stage).MakeDirectory("a/b", datacenter=stage.datacenter))


@scenario
async def leaves_the_datacenter_out(stage: Stage) -> Any:
    return await outcome(manager(stage).MakeDirectory(stage.path(stage.name())))


@scenario
async def moves_a_file(stage: Stage) -> Any:
    folder = await filled(stage, "a")
    await stage.files.move(f"{folder}/a", f"{folder}/b")
    return [item.name for item in await stage.files.list(folder)]


@scenario
async def moves_a_file_over_another(stage: Stage) -> Any:
    folder = await filled(stage, "a", "b")
    return await outcome(stage.files.move(f"{folder}/a", f"{folder}/b"))


@scenario
async def copies_a_file(stage: Stage) -> Any:
    folder = await filled(stage, "a")
    await stage.files.copy(f"{folder}/a", f"{folder}/b")
    return [(item.name, item.size) for item in await stage.files.list(folder)]


@scenario
async def copies_a_file_over_another(stage: Stage) -> Any:
    folder = await filled(stage, "a", "b")
    return await outcome(stage.files.copy(f"{folder}/a", f"{folder}/b"))


@scenario
async def copies_a_file_that_is_not_there(stage: Stage) -> Any:
    return await outcome(stage.files.copy("nobody", stage.name()))


@scenario
async def deletes_a_folder_and_what_is_in_it(stage: Stage) -> Any:
    folder = await filled(stage, "a", "b")
    await stage.files.delete(folder)
    return await stage.files.exists(folder)


@scenario
async def deletes_what_is_not_there(stage: Stage) -> Any:
    return await outcome(stage.files.delete("nobody"))


@scenario
async def lists_a_folder(stage: Stage) -> Any:
    folder = await filled(stage, "a.iso", "b.img")
    await stage.files.mkdir(f"{folder}/c")
    found = await stage.files.list(folder)
    return [(item.name, item.size) for item in found if not item.is_dir]


@scenario
async def sees_folders_in_a_list(stage: Stage) -> Any:
    await stage.files.mkdir(f"{(folder := await filled(stage))}/c")
    return [(item.name, item.is_dir) for item in await stage.files.list(folder)]


@scenario
async def lists_by_a_pattern(stage: Stage) -> Any:
    folder = await filled(stage, "a.iso", "b.img", "c.iso")
    return [item.name for item in await stage.files.list(folder, "*.iso")]


@scenario
async def lists_a_folder_that_is_not_there(stage: Stage) -> Any:
    return await outcome(stage.files.list("nobody"))


@scenario
async def searches_without_a_pattern(stage: Stage) -> Any:
    folder = await filled(stage, "a")
    spec = vim25.HostDatastoreBrowserSearchSpec()
    task = (await browser(stage)).SearchDatastore_Task(stage.path(folder), searchSpec=spec)
    return [item.path for item in (await stage.done(task)).file or ()]


@scenario
async def searches_without_a_spec(stage: Stage) -> Any:
    folder = await filled(stage, "a")
    task = (await browser(stage)).SearchDatastore_Task(stage.path(folder))
    return [item.path for item in (await stage.done(task)).file or ()]


@scenario
async def searches_folders_below(stage: Stage) -> Any:
    folder = await filled(stage, "a.iso")
    await stage.files.mkdir(f"{folder}/deep")
    await stage.files.upload(f"{folder}/deep/b.iso", b"content")
    spec = vim25.HostDatastoreBrowserSearchSpec(matchPattern=["*.iso"])
    task = (await browser(stage)).SearchDatastoreSubFolders_Task(
        stage.path(folder), searchSpec=spec
    )
    return sorted(item.path for found in await stage.done(task) for item in found.file or ())


@scenario
async def refreshes_a_datastore(stage: Stage) -> Any:
    store = (await stage.client.collect(vim25.Datastore).all())[0].obj
    return await outcome(store.RefreshDatastore())


@scenario
async def uploads_and_reads_back(stage: Stage) -> Any:
    data = bytes(range(256)) * 1000
    await stage.files.upload(name := stage.name(), data)
    async with stage.files.download(name) as body:
        return await body.read() == data


@scenario
async def uploads_over_another(stage: Stage) -> Any:
    await stage.files.upload(name := stage.name(), b"longer than it")
    await stage.files.upload(name, b"short", overwrite=True)
    async with stage.files.download(name) as body:
        return (await body.read()).decode()


@scenario
async def uploads_into_no_folder(stage: Stage) -> Any:
    return await outcome(stage.files.upload(f"{stage.name()}/such/file", b"x"))


@scenario
async def uploads_an_empty_file(stage: Stage) -> Any:
    return (await stage.files.upload(stage.name(), b"")).size


@scenario
async def uploads_files_of_odd_names(stage: Stage) -> Any:
    names = ["a b", "100%", "a+b", "it's", "größe", "a&b=c#d", "x;y"]
    folder = await filled(stage, *names)
    return sorted(names) == [item.name for item in await stage.files.list(folder)]


@scenario
async def reads_part_of_a_file(stage: Stage) -> Any:
    await stage.files.upload(name := stage.name(), b"0123456789")
    async with stage.files.download(name, (2, 5)) as body:
        return (await body.read()).decode()


@scenario
async def reads_beyond_the_end_of_a_file(stage: Stage) -> Any:
    await stage.files.upload(name := stage.name(), b"0123456789")

    async def read() -> None:
        async with stage.files.download(name, (20, 30)):
            pass

    return await outcome(read())


@scenario
async def reads_a_file_that_is_not_there(stage: Stage) -> Any:
    try:
        async with stage.files.download("nobody"):
            return "ok"
    except NotFoundError:  # our word for this status
        return "HTTP 404"
