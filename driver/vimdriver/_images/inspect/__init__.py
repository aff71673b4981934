"""Whether an image's bytes may reach a host: incremental, in constant memory. No I/O, no clocks.

`Inspector` takes bytes as they pass and raises `ImageUnacceptableError` with the name of the rule
that they break, before the first byte leaves where the rule is about the beginning. `RULES` lists
the rules. What the bytes are decides; what the source claims may only agree.

- `magic`: which format a prefix shows
- `header`: the 512 bytes that open a sparse extent
- `descriptor`: the text inside it
- `cursor`: requests for bytes that the checks below yield
- `tables`: grain directories and tables that stand before the grains
- `markers`: grains, markers and footer of a streamOptimized file
"""

from vimdriver._images.inspect.inspector import DiskFacts, InspectLimits, Inspector
from vimdriver._images.inspect.magic import detect
from vimdriver._images.inspect.rules import RULES

__all__ = ["RULES", "DiskFacts", "InspectLimits", "Inspector", "detect"]
