"""Test machinery: with this folder on PYTHONPATH, every spool meets the plan of faults that WATERZ_FAULTS names."""

import os

if "WATERZ_FAULTS" in os.environ:
    import waterz_spool.spool.root
    from tests.faults import ops_by_plan

    waterz_spool.spool.root.FileOps = ops_by_plan
