"""ProPainter, our own implementation: video inpainting by propagation and a sparse transformer.

Paper: Zhou et al., ProPainter: Improving Propagation and Transformer for Video Inpainting, ICCV 2023.
Written from published facts, without the original's source. No weights are shipped and nothing is downloaded: the
user supplies the three official files, whose licence (NTU S-Lab License 1.0) permits NON-COMMERCIAL USE ONLY.
"""

from __future__ import annotations
