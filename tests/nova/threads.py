"""Ready nova for threads, as its own commands do. Import it before anything else of nova."""

from __future__ import annotations

import os

os.environ["OS_NOVA_DISABLE_EVENTLET_PATCHING"] = "true"

from nova import monkey_patch

monkey_patch.patch(backend="threading")
