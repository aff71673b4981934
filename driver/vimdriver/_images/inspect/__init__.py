"""Decide whether an image's bytes may reach a host: incremental, constant memory. No I/O, no
clocks.

`Inspector` reads bytes as they pass and raises `ImageUnacceptableError` with the name of the broken
rule; rules about the beginning are decided before the first byte is sent. `RULES` lists the rules.
The bytes determine the format; the format that the source claims must agree.

- `magic`: detects the format of a prefix
- `descriptor`: the text embedded in a sparse extent
- `cursor`: the requests for bytes that the checks below yield
- `tables`: grain directories and tables in front of the grains
- `markers`: grains, markers and footer of a streamOptimized file
"""

from vimdriver._images.inspect.inspector import DiskFacts, InspectLimits, Inspector
from vimdriver._images.inspect.magic import detect
from vimdriver._images.inspect.rules import RULES

__all__ = ["RULES", "DiskFacts", "InspectLimits", "Inspector", "detect"]
