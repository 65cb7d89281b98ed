"""The inpainting generator: frame encoder, feature propagation, sparse transformer, decoder.

Paper: Zhou et al., ProPainter: Improving Propagation and Transformer for Video Inpainting, ICCV 2023.
Licence of the weights (ProPainter.pth): NTU S-Lab License 1.0, non-commercial use only; not shipped.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from propainter.layers import UpConv
from propainter.propagation import FeaturePropagation, Flows
from propainter.transformer import KERNEL, PAD, STRIDE, Grid, SoftComp, SoftSplit, SparseTransformer


class Encoder(nn.Module):
    """Per-frame encoder; the later layers see the 256-channel feature of layer 6 again, group by group."""

    def __init__(self) -> None:
        super().__init__()
        act = nn.LeakyReLU(0.2)
        convs = (
            nn.Conv2d(5, 64, 3, stride=2, padding=1),
            nn.Conv2d(64, 64, 3, padding=1),
            nn.Conv2d(64, 128, 3, stride=2, padding=1),
            nn.Conv2d(128, 256, 3, padding=1),
            nn.Conv2d(256, 384, 3, padding=1),
            nn.Conv2d(640, 512, 3, padding=1, groups=2),
            nn.Conv2d(768, 384, 3, padding=1, groups=4),
            nn.Conv2d(640, 256, 3, padding=1, groups=8),
            nn.Conv2d(512, 128, 3, padding=1),
        )
        self.layers = nn.ModuleList([layer for conv in convs for layer in (conv, act)])

    def forward(self, x: Tensor) -> Tensor:
        """[N,5,H,W] (rgb in [-1,1], hole, still missing) to [N,128,H/4,W/4]."""
        for layer in self.layers[:8]:
            x = layer(x)
        x0 = x
        for conv, act in zip(self.layers[8::2], self.layers[9::2], strict=True):
            if conv.in_channels != x0.shape[1]:
                x = _concat_groupwise(x0, x, conv.groups)
            x = act(conv(x))
        return x


def _concat_groupwise(first: Tensor, second: Tensor, groups: int) -> Tensor:
    """Channel blocks of two tensors interleaved: [first 0, second 0, first 1, second 1, ...]."""
    # (N, C, h, w) -> (N, h, w, groups, C/groups): no copy when channels are innermost in memory
    blocks = [x.permute(0, 2, 3, 1).unflatten(-1, (groups, -1)) for x in (first, second)]
    return torch.cat(blocks, dim=-1).flatten(3).permute(0, 3, 1, 2)


class Generator(nn.Module):
    """Inpaints the local frames of one window, with the help of reference frames."""

    def __init__(self) -> None:
        super().__init__()
        act = nn.LeakyReLU(0.2)
        self.encoder = Encoder()
        self.decoder = nn.Sequential(
            UpConv(128, 128), act, nn.Conv2d(128, 64, 3, padding=1), act, UpConv(64, 64), act,
            nn.Conv2d(64, 3, 3, padding=1),
        )  # fmt: skip
        self.ss = SoftSplit()
        self.sc = SoftComp()
        self.feat_prop_module = FeaturePropagation()
        self.transformers = SparseTransformer()

    def forward(self, frames: Tensor, flows: Flows, masks: Tensor, missing: Tensor, *, local: int) -> Tensor:
        """One window from pixels to pixels, as published.

        Args:
            frames: [T,3,H,W] in [-1,1], propagated frames: ``local`` consecutive ones, then references.
            flows: Completed flows of the local frames, each [local-1,2,H,W], px.
            masks: [T,1,H,W], 1 inside the hole.
            missing: [T,1,H,W], 1 where pixel propagation found nothing.
            local: Number of local frames, at least 2.

        Returns:
            [local,3,H,W] in [-1,1].
        """
        encoded = self.encoder(torch.cat((frames, masks, missing), dim=1))
        small = shrink_masks(masks[:local], missing[:local])
        spread = self.feat_prop_module(encoded[:local].split(1), shrink_flows(flows), small)
        features = torch.cat((spread, encoded[local:]))
        grid = Grid(*features.shape[-2:])
        tokens = self.transformers(self.ss(features), token_mask(small), grid)
        return self.decode(spread + self.sc(tokens[:local], grid))

    def decode(self, features: Tensor) -> Tensor:
        """Features [N,128,h,w] to pixels [N,3,4h,4w] in [-1,1]."""
        return torch.tanh(self.decoder(features))


def shrink_flows(flows: Flows) -> Flows:
    """Flows [T-1,2,H,W] brought to the feature grid [T-1,2,H/4,W/4], in its px."""
    return Flows(*(F.interpolate(f.float(), scale_factor=0.25, mode="bilinear") / 4.0 for f in flows))


def shrink_masks(masks: Tensor, missing: Tensor) -> Tensor:
    """Hole and missing masks [T,1,H,W] as [T,2,H/4,W/4], pixel (4i, 4j)."""
    return torch.cat((masks, missing), dim=1)[:, :, ::4, ::4].contiguous()


def token_mask(small: Tensor) -> Tensor:
    """Tokens that touch the hole: [L,rows,columns] from [L,2,h,w]."""
    return F.max_pool2d(small[:, :1].float(), KERNEL, stride=STRIDE, padding=PAD)[:, 0]
