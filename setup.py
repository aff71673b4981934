"""What pyproject.toml cannot say: the optional C accelerator of the codec.

The wheel has it where a compiler is found, and is pure Python where none is. Set VIMLIB_NO_ACCEL
to leave it out. While `vimlib/soap/_accel.pyx` is not there, nothing is compiled.
"""

import os
from pathlib import Path

from setuptools import Extension, setup

SOURCE = Path("vimlib/soap/_accel.pyx")


def extensions() -> list[Extension]:
    """Return the extension modules to try; one that does not compile is left out with a warning."""
    if not SOURCE.exists() or os.environ.get("VIMLIB_NO_ACCEL"):
        return []
    from Cython.Build import cythonize

    accel = Extension("vimlib.soap._accel", [str(SOURCE)])
    modules = list(cythonize([accel], compiler_directives={"language_level": 3}))
    for module in modules:
        # Said here because cythonize makes new objects and leaves it out.
        module.optional = True
    return modules


setup(ext_modules=extensions())
