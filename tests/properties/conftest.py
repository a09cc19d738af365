"""How many examples are tried: 150 a property, the same in every run; or PROPERTY_EXAMPLES of them, others each time.

hypothesis keeps nothing in the checkout: no database, and its caches lie in a folder that goes at the end.
"""

import os
import tempfile

from hypothesis import HealthCheck, settings
from hypothesis.configuration import set_hypothesis_home_dir

_EXAMPLES = int(os.environ.get("PROPERTY_EXAMPLES", "0"))
_CACHES = tempfile.TemporaryDirectory(prefix="mpt-hypothesis-")

set_hypothesis_home_dir(_CACHES.name)
settings.register_profile(
    "multiprocesstools", max_examples=_EXAMPLES or 150, derandomize=not _EXAMPLES, database=None, deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)  # fmt: skip
settings.load_profile("multiprocesstools")
