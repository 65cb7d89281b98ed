"""Pure rules that turn overlay tracks into segments, crops and context; no files, no pixels."""

from waterz_spool.plan.crops import crop_box, margin_px
from waterz_spool.plan.segments import PlanRules, plan_copies, plan_segments

__all__ = ["PlanRules", "crop_box", "margin_px", "plan_copies", "plan_segments"]
