"""Files: by the FileManager, the browser, and over HTTP."""

from __future__ import annotations

from typing import Any

from tests.simulator.by_pyvmomi.stage import Stage, outcome, scenario
from tests.simulator.vmomi import vim


def manager(stage: Stage) -> Any:
    return stage.content.fileManager


def browser(stage: Stage) -> Any:
    return stage.files.browser


def filled(stage: Stage, *names: str) -> str:
    """Make a folder with files and return its name."""
    stage.files.mkdir(folder := stage.name())
    for name in names:
        stage.files.upload(f"{folder}/{name}", b"content")
    return folder


@scenario
def makes_a_folder(stage: Stage) -> Any:
    stage.files.mkdir(name := stage.name())
    made = stage.files.stat(name)
    return made is not None and made.is_dir


@scenario
def makes_a_folder_twice(stage: Stage) -> Any:
    stage.files.mkdir(name := stage.name())
    return outcome(lambda: stage.files.mkdir(name))


@scenario
def makes_a_folder_in_none(stage: Stage) -> Any:
    return outcome(lambda: stage.files.mkdir(f"{stage.name()}/b"))


@scenario
def makes_a_folder_with_its_parents(stage: Stage) -> Any:
    stage.files.mkdir(path := f"{stage.name()}/b/c", parents=True)
    return stage.files.exists(path)


@scenario
def names_a_datastore_that_is_none(stage: Stage) -> Any:
    return outcome(manager(stage).MakeDirectory, "[nowhere] a", stage.datacenter)


@scenario
def sends_a_path_that_is_none(stage: Stage) -> Any:
    return outcome(lambda: manager(stage).MakeDirectory("a/b", datacenter=stage.datacenter))


@scenario
def leaves_the_datacenter_out(stage: Stage) -> Any:
    return outcome(lambda: manager(stage).MakeDirectory(stage.path(stage.name())))


@scenario
def moves_a_file(stage: Stage) -> Any:
    folder = filled(stage, "a")
    stage.files.move(f"{folder}/a", f"{folder}/b")
    return [item.name for item in stage.files.list(folder)]


@scenario
def moves_a_file_over_another(stage: Stage) -> Any:
    folder = filled(stage, "a", "b")
    return outcome(lambda: stage.files.move(f"{folder}/a", f"{folder}/b"))


@scenario
def copies_a_file(stage: Stage) -> Any:
    folder = filled(stage, "a")
    stage.files.copy(f"{folder}/a", f"{folder}/b")
    return [(item.name, item.size) for item in stage.files.list(folder)]


@scenario
def copies_a_file_over_another(stage: Stage) -> Any:
    folder = filled(stage, "a", "b")
    return outcome(lambda: stage.files.copy(f"{folder}/a", f"{folder}/b"))


@scenario
def copies_a_file_that_is_not_there(stage: Stage) -> Any:
    return outcome(lambda: stage.files.copy("nobody", stage.name()))


@scenario
def deletes_a_folder_and_what_is_in_it(stage: Stage) -> Any:
    folder = filled(stage, "a", "b")
    stage.files.delete(folder)
    return stage.files.exists(folder)


@scenario
def deletes_what_is_not_there(stage: Stage) -> Any:
    return outcome(lambda: stage.files.delete("nobody"))


@scenario
def lists_a_folder(stage: Stage) -> Any:
    folder = filled(stage, "a.iso", "b.img")
    stage.files.mkdir(f"{folder}/c")
    found = stage.files.list(folder)
    return [(item.name, item.size) for item in found if not item.is_dir]


@scenario
def sees_folders_in_a_list(stage: Stage) -> Any:
    stage.files.mkdir(f"{(folder := filled(stage))}/c")
    return [(item.name, item.is_dir) for item in stage.files.list(folder)]


@scenario
def lists_by_a_pattern(stage: Stage) -> Any:
    folder = filled(stage, "a.iso", "b.img", "c.iso")
    return [item.name for item in stage.files.list(folder, "*.iso")]


@scenario
def lists_a_folder_that_is_not_there(stage: Stage) -> Any:
    return outcome(lambda: stage.files.list("nobody"))


@scenario
def searches_without_a_pattern(stage: Stage) -> Any:
    folder = filled(stage, "a")
    spec = vim.host.DatastoreBrowser.SearchSpec()
    task = browser(stage).SearchDatastore_Task(stage.path(folder), searchSpec=spec)
    return [item.path for item in stage.done(task).file]


@scenario
def searches_without_a_spec(stage: Stage) -> Any:
    folder = filled(stage, "a")
    task = browser(stage).SearchDatastore_Task(stage.path(folder))
    return [item.path for item in stage.done(task).file]


@scenario
def searches_folders_below(stage: Stage) -> Any:
    folder = filled(stage, "a.iso")
    stage.files.mkdir(f"{folder}/deep")
    stage.files.upload(f"{folder}/deep/b.iso", b"content")
    spec = vim.host.DatastoreBrowser.SearchSpec(matchPattern=["*.iso"])
    task = browser(stage).SearchDatastoreSubFolders_Task(stage.path(folder), searchSpec=spec)
    return sorted(item.path for found in stage.done(task) for item in found.file)


@scenario
def refreshes_a_datastore(stage: Stage) -> Any:
    return outcome(stage.datastore.RefreshDatastore)


@scenario
def uploads_and_reads_back(stage: Stage) -> Any:
    data = bytes(range(256)) * 1000
    stage.files.upload(name := stage.name(), data)
    return stage.files.download(name) == data


@scenario
def uploads_over_another(stage: Stage) -> Any:
    stage.files.upload(name := stage.name(), b"longer than it")
    stage.files.upload(name, b"short")
    return stage.files.download(name).decode()


@scenario
def uploads_into_no_folder(stage: Stage) -> Any:
    return outcome(stage.files.upload, f"{stage.name()}/such/file", b"x")


@scenario
def uploads_an_empty_file(stage: Stage) -> Any:
    stage.files.upload(name := stage.name(), b"")
    return len(stage.files.download(name))


@scenario
def uploads_files_of_odd_names(stage: Stage) -> Any:
    names = ["a b", "100%", "a+b", "it's", "größe", "a&b=c#d", "x;y"]
    folder = filled(stage, *names)
    return sorted(names) == [item.name for item in stage.files.list(folder)]


@scenario
def reads_part_of_a_file(stage: Stage) -> Any:
    stage.files.upload(name := stage.name(), b"0123456789")
    return stage.files.download(name, 2, 4).decode()


@scenario
def reads_beyond_the_end_of_a_file(stage: Stage) -> Any:
    stage.files.upload(name := stage.name(), b"0123456789")
    return outcome(stage.files.download, name, 20, 29)


@scenario
def reads_a_file_that_is_not_there(stage: Stage) -> Any:
    return outcome(stage.files.download, "nobody")


@scenario
def puts_a_new_file(stage: Stage) -> Any:
    return stage.files.status("PUT", stage.name(), data=b"x")


@scenario
def puts_over_a_file(stage: Stage) -> Any:
    stage.files.upload(name := stage.name(), b"x")
    return stage.files.status("PUT", name, data=b"y")


@scenario
def posts_over_a_file(stage: Stage) -> Any:
    stage.files.upload(name := stage.name(), b"x")
    return stage.files.status("POST", name, data=b"y")


@scenario
def puts_without_a_session(stage: Stage) -> Any:
    return stage.files.status("PUT", stage.name(), cookie=False, data=b"x")


@scenario
def gets_without_a_session(stage: Stage) -> Any:
    stage.files.upload(name := stage.name(), b"x")
    return stage.files.status("GET", name, cookie=False)


@scenario
def asks_for_the_size_over_http(stage: Stage) -> Any:
    stage.files.upload(name := stage.name(), b"0123456789")
    answer = stage.files.request("HEAD", name)
    return answer.status_code, int(answer.headers["Content-Length"])


@scenario
def asks_for_a_range_over_http(stage: Stage) -> Any:
    stage.files.upload(name := stage.name(), b"0123456789")
    answer = stage.files.request("GET", name, headers={"Range": "bytes=2-4"})
    return answer.status_code, answer.headers["Content-Range"]


@scenario
def deletes_over_http(stage: Stage) -> Any:
    stage.files.upload(name := stage.name(), b"x")
    stage.files.status("DELETE", name)
    return stage.files.status("HEAD", name)


@scenario
def lists_over_http(stage: Stage) -> Any:
    folder = filled(stage, "a.iso")
    answer = stage.files.request("GET", f"{folder}/")
    return answer.status_code, "a.iso" in answer.text


@scenario
def names_no_known_datastore_over_http(stage: Stage) -> Any:
    return stage.files.status("GET", "x", params={"dsName": "nowhere"})


@scenario
def names_no_known_datacenter_over_http(stage: Stage) -> Any:
    return stage.files.status("GET", "x", params={"dcPath": "nowhere"})
