"""From a box around an overlay to the overlay's own pixels, one mask per state, in the frames in which it stands."""

from waterz_spool.detect.refine.reading import Crops, Picture, VideoCrops
from waterz_spool.detect.refine.refiner import Refined, refine

__all__ = ["Crops", "Picture", "Refined", "VideoCrops", "refine"]
