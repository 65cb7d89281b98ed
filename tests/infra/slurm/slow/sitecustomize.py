"""Test machinery: with this folder on PYTHONPATH each frame of a segment takes WATERZ_TEST_FRAME_S longer.

Tests disturb workers in the middle of segments; so how long a segment takes must not depend on the machine.
"""

import os
import sys
import time

_FRAME_S = float(os.environ.get("WATERZ_TEST_FRAME_S", "0"))

if _FRAME_S and "waterz_spool" in sys.orig_argv:
    from waterz_spool.spool import Claim

    _progress = Claim.progress

    def _slow_progress(claim, *told):
        time.sleep(_FRAME_S if isinstance(claim.task, int) else 0)
        _progress(claim, *told)

    Claim.progress = _slow_progress
