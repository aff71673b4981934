"""What pyproject.toml cannot say: the optional C accelerator, the guest helper, README's links.

The wheel has the accelerator where a compiler is found, and is pure Python where none is. Set
VIMLIB_NO_ACCEL to leave it out.
"""

import os
import re
import tomllib
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_py import build_py

SOURCE = Path("vimlib/soap/_accel.pyx")
HELPER = Path("guest/vimguest.py")
# Where `vimctl guest helper` looks for it in an installed package.
SHIPPED_HELPER = Path("vimdriver/_data/vimguest.py")
# The target of a Markdown link that is a path in this repository.
RELATIVE = re.compile(r"(?<=\]\()(?![a-z]+:|#)")


class BuildWithHelper(build_py):  # type: ignore[misc]  # not annotated
    """Adds the guest helper, whose one source is `guest/`, as data of vimdriver.

    An editable install reads it from there.
    """

    def run(self) -> None:
        """Build the packages, then copy the helper beside them."""
        super().run()
        if not self.editable_mode:
            target = Path(self.build_lib, SHIPPED_HELPER)
            self.mkpath(str(target.parent))
            self.copy_file(str(HELPER), str(target), preserve_mode=False)

    def get_outputs(self, include_bytecode: bool = True) -> list[str]:
        """Return the files that `run` makes."""
        made: list[str] = super().get_outputs(include_bytecode)
        return made if self.editable_mode else [*made, str(Path(self.build_lib, SHIPPED_HELPER))]


def extensions() -> list[Extension]:
    """Return the extension modules to try; one that does not compile is left out with a warning."""
    if os.environ.get("VIMLIB_NO_ACCEL"):
        return []
    from Cython.Build import cythonize

    accel = Extension("vimlib.soap._accel", [str(SOURCE)])
    modules = list(cythonize([accel], compiler_directives={"language_level": 3}))
    for module in modules:
        # Said here because cythonize makes new objects and leaves it out.
        module.optional = True
    return modules


def readme() -> str:
    """Return README.md with links that work outside the repository."""
    project = tomllib.loads(Path("pyproject.toml").read_text("utf-8"))["project"]
    base = f"{project['urls']['Repository']}/blob/main/"
    return RELATIVE.sub(base, Path("README.md").read_text("utf-8"))


setup(
    ext_modules=extensions(),
    cmdclass={"build_py": BuildWithHelper},
    long_description=readme(),
    long_description_content_type="text/markdown",
)
