"""What README.md and docs/ show is run: programs, shell sessions, links between pages."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docs.blocks import Block, Command, blocks, commands, links
from tests.simulator.images import stream_optimized

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
EXAMPLES = [
    block
    for page in PAGES
    if page.name != "CONTRIBUTING.md"
    for block in blocks(page, page.read_text())
    if block.runs
]
SECONDS = 110
# Files of the repository, where PyPI and the site lead to them.
HOSTED = "https://github.com/vimlib/vimlib-esx/blob/main/"


@pytest.fixture(scope="session")
def simulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """Run a simulated host for the examples; gives the variables that name it."""
    folder = tmp_path_factory.mktemp("datastore1")
    argv = [sys.executable, "-c", "from vimdriver._cli import main; main()", "sim"]
    argv += ["--port", "0", "--datastore-dir", str(folder), "--vms", "2"]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, cwd=ROOT) as process:
        try:
            assert process.stdout is not None
            ready = json.loads(process.stdout.readline())
            yield {
                "VIMLIB_URL": ready["url"],
                "VIMLIB_USERNAME": ready["username"],
                "VIMLIB_PASSWORD": ready["password"],
                "VIMLIB_PIN": ready["thumbprint"],
            }
        finally:
            process.terminate()
            process.wait(30)


@pytest.fixture
def setting(request: pytest.FixtureRequest, example: Block) -> dict[str, str]:
    """The environment of an example; with a host where the example speaks of one."""
    setting = dict(os.environ)
    setting["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{setting['PATH']}"
    setting["PYTHONPATH"] = str(ROOT)
    if "VIMLIB_" in example.program or "vimctl" in example.text:
        setting |= request.getfixturevalue("simulator")
    return setting


def run(argv: list[str], setting: dict[str, str], folder: Path) -> str:
    """Run a command in an empty folder and return what it said; it must end with 0."""
    done = subprocess.run(
        argv,
        env=setting,
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=SECONDS,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("example", EXAMPLES, ids=lambda block: block.name)
def test_example(example: Block, setting: dict[str, str], tmp_path: Path) -> None:
    if "pytest" in example.info:
        (tmp_path / "test_page.py").write_text(example.text)
        (tmp_path / "pytest.ini").write_text(
            "[pytest]\nasyncio_mode = auto\nasyncio_default_fixture_loop_scope = function\n"
        )
        argv = [sys.executable, "-m", "pytest", "-q", "-W", "error", "test_page.py"]
        output = run(argv, setting, tmp_path)
        assert " passed" in output
        return
    if "lease.upload" in example.text:
        (tmp_path / "disk.vmdk").write_bytes(stream_optimized(bytes(1 << 20)))
    if example.language == "python":
        run([sys.executable, "-W", "error", "-c", example.program], setting, tmp_path)
        return
    for command in commands(example.text):
        output = run(["bash", "-euo", "pipefail", "-c", command.command], setting, tmp_path)
        assert command.missing_in(output) is None, output


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    broken = []
    for link in links(page.read_text()):
        target = link.split("#")[0]
        if target.startswith(HOSTED):
            there = (ROOT / target.removeprefix(HOSTED)).exists()
        elif "://" in target or not target:
            continue
        else:
            # Reference pages are made by the build, which checks what leads to them.
            there = (page.parent / target).exists() or "reference/" in target
        if not there:
            broken.append(link)
    assert broken == []


def test_links_of_the_readme_work_outside_the_repository() -> None:
    assert [link for link in links((ROOT / "README.md").read_text()) if "://" not in link] == []


PAGE = """\
text
```python
print(1)
```
````markdown
```python no-run
inner
```
````
```console no-run
$ rm -r everything
```
[a](docs/a.md) `[b](c)`
"""


def test_blocks_are_found_with_their_marks() -> None:
    found = [(b.line, b.language, b.runs, b.text) for b in blocks(Path("page.md"), PAGE)]
    assert found == [
        (2, "python", True, "print(1)\n"),
        (5, "markdown", False, "```python no-run\ninner\n```\n"),
        (10, "console", False, "$ rm -r everything\n"),
    ]
    assert links(PAGE) == ["docs/a.md"]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_a_block_that_is_not_run_has_its_reason_in_a_comment_before_it(page: Path) -> None:
    lines = page.read_text().splitlines()
    bare = [
        block.line
        for block in blocks(page, page.read_text())
        if "no-run" in block.info and not lines[block.line - 2].startswith("<!-- not run: ")
    ]
    assert bare == []


def test_a_block_may_be_the_inside_of_a_program() -> None:
    (block,) = blocks(Path("page.md"), "```python client\nprint(client)\n```\n")
    program = block.program
    assert "\n        print(client)\n" in program
    assert program.endswith("asyncio.run(main())\n")
    compile(program, "page", "exec")


def test_a_block_without_an_end_is_refused() -> None:
    with pytest.raises(ValueError, match=r"page\.md:1: the block is not closed"):
        list(blocks(Path("page.md"), "```python\nprint(1)\n"))


def test_commands_have_the_lines_that_follow_them() -> None:
    assert commands("$ one \\\n> --more\nout\n\n$ two\n") == [
        Command("one \\\n--more", ["out"]),
        Command("two", []),
    ]


@pytest.mark.parametrize(
    ("expected", "output", "missing"),
    [
        (["a", "c"], "a\nb\nc\n", None),
        (["c", "a"], "a\nb\nc\n", "a"),
        (["took ... s"], "took 12 s\n", None),
        (["took ... s"], "took 12 min\n", "took ... s"),
        (["a", "...", "b"], "a\nx\nb\n", None),
        ([], "", None),
    ],
)
def test_expected_output(expected: list[str], output: str, missing: str | None) -> None:
    assert Command("x", expected).missing_in(output) == missing
