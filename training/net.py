"""The networks: one small residual backbone and what is built on it.

Every network takes RGB pictures as floats 0..255, shape (N, 3, H, W), and normalises inside the graph: the exported
file then needs no preprocessing beyond the resize, and its quantised input is the 8-bit picture itself.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from training.data import required_file

WIDTHS = (32, 64, 128, 256)
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


class ConvNorm(nn.Sequential):
    """Convolution, batch normalisation and, unless `relu` is false, a rectifier."""

    def __init__(
        self, inner: int, outer: int, kernel: int = 3, stride: int = 1, relu: bool = True, dilation: int = 1
    ) -> None:
        pad = kernel // 2 * dilation
        parts: list[nn.Module] = [
            nn.Conv2d(inner, outer, kernel, stride, pad, dilation, bias=False),
            nn.BatchNorm2d(outer),
        ]
        if relu:
            parts.append(nn.ReLU(inplace=True))
        super().__init__(*parts)


class Residual(nn.Module):
    """Two 3x3 convolutions beside a shortcut (He et al., 2015); the shortcut of a strided one averages first."""

    def __init__(self, inner: int, outer: int, stride: int) -> None:
        super().__init__()
        self.first = ConvNorm(inner, outer, 3, stride)
        self.second = ConvNorm(outer, outer, 3, relu=False)
        self.shortcut: nn.Module = nn.Identity()
        if inner != outer or stride != 1:
            pool: nn.Module = nn.AvgPool2d(2, 2, ceil_mode=True) if stride == 2 else nn.Identity()
            self.shortcut = nn.Sequential(pool, ConvNorm(inner, outer, 1, relu=False))

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.second(self.first(x)) + self.shortcut(x))


class Backbone(nn.Module):
    """Stem and up to four stages; returns the features at strides 2, 4, 8 and 16 of the input.

    `blocks` is the number of residual blocks of each stage: (2, 2, 2, 2) is the whole classifier, a shorter tuple
    or a smaller number leaves the rest out, and the checkpoint still fits what is there.
    """

    def __init__(self, blocks: Sequence[int] = (2, 2, 2, 2)) -> None:
        super().__init__()
        self.register_buffer("mean", 255 * torch.tensor(IMAGENET_MEAN).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", 255 * torch.tensor(IMAGENET_STD).view(1, 3, 1, 1), persistent=False)
        self.stem = nn.Sequential(ConvNorm(3, 24, 3, 2), ConvNorm(24, WIDTHS[0]))
        stages, inner = [], WIDTHS[0]
        for stage, count in enumerate(blocks):
            outer = WIDTHS[stage]
            layers = [Residual(inner, outer, 1 if stage == 0 else 2)]
            layers += [Residual(outer, outer, 1) for _ in range(count - 1)]
            stages.append(nn.Sequential(*layers))
            inner = outer
        self.stages = nn.ModuleList(stages)
        self.widths = WIDTHS[: len(blocks)]
        self.normalise = True

    def forward(self, x: Tensor) -> list[Tensor]:
        x = self.stem((x - self.mean) / self.std if self.normalise else x)
        features = []
        for stage in self.stages:
            x = stage(x)
            features.append(x)
        return features


def to_grey(x: Tensor) -> Tensor:
    """Brightness (ITU-R BT.601) in all three channels."""
    return (0.299 * x[:, :1] + 0.587 * x[:, 1:2] + 0.114 * x[:, 2:]).expand(-1, 3, -1, -1)


class Classifier(nn.Module):
    """The backbone, an average over the picture, and one linear layer: logits (N, classes)."""

    def __init__(self, classes: int, last_blocks: int = 2, dropout: float = 0.1, grey: bool = False) -> None:
        super().__init__()
        self.grey = grey
        self.backbone = Backbone((2, 2, 2, last_blocks))
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(self.backbone.widths[-1], classes)

    def embed(self, x: Tensor) -> Tensor:
        return self.backbone(to_grey(x) if self.grey else x)[-1].mean((2, 3))

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.dropout(self.embed(x)))


def resize_like(x: Tensor, like: Tensor) -> Tensor:
    return F.interpolate(x, size=like.shape[-2:], mode="bilinear", align_corners=False)


class Segmenter(nn.Module):
    """U-Net decoder (Ronneberger et al., 2015) on the backbone: (N, channels, H, W) for any H and W.

    The 16-stride features pass two dilated convolutions first, so that a pixel sees most of a 480x360 picture.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.backbone = Backbone((2, 2, 2, 1))
        w = WIDTHS
        wide = (ConvNorm(128, 128, dilation=2), ConvNorm(128, 128, dilation=4))
        self.context = nn.Sequential(ConvNorm(w[3], 128, 1), *wide)
        self.side = nn.ModuleList([ConvNorm(w[2], 64, 1), ConvNorm(w[1], 48, 1), ConvNorm(w[0], 24, 1)])
        self.fuse = nn.ModuleList([ConvNorm(192, 96), ConvNorm(144, 64), ConvNorm(88, 40)])
        self.head = nn.Conv2d(40, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        features = self.backbone(x)
        y = self.context(features[-1])
        for skip, side, fuse in zip(features[2::-1], self.side, self.fuse, strict=True):
            y = fuse(torch.cat([resize_like(y, skip), side(skip)], 1))
        return resize_like(self.head(y), x)


class Reflected(nn.Sequential):
    """Convolution over mirrored borders and, where `norm`, instance normalisation (Ulyanov et al., 2016)."""

    def __init__(self, inner: int, outer: int, kernel: int, stride: int = 1, norm: bool = True) -> None:
        parts: list[nn.Module] = [nn.ReflectionPad2d(kernel // 2), nn.Conv2d(inner, outer, kernel, stride)]
        if norm:
            parts.append(nn.InstanceNorm2d(outer, affine=True))
        super().__init__(*parts)


class Stylist(nn.Module):
    """Feed-forward style transfer (Johnson et al., 2016), narrow: pictures in, pictures of the same size out."""

    def __init__(self) -> None:
        super().__init__()
        self.down = nn.ModuleList([Reflected(3, 16, 7), Reflected(16, 32, 3, 2), Reflected(32, 48, 3, 2)])
        blocks = [nn.Sequential(Reflected(48, 48, 3), nn.ReLU(), Reflected(48, 48, 3)) for _ in range(3)]
        self.middle = nn.ModuleList(blocks)
        self.up = nn.ModuleList([Reflected(48, 32, 3), Reflected(32, 16, 3)])
        self.head = Reflected(16, 3, 7, norm=False)

    def forward(self, x: Tensor) -> Tensor:
        y, sizes = (x - 127.5) / 64, []
        for layer in self.down:
            sizes.append(y)
            y = F.relu(layer(y))
        for block in self.middle:
            y = y + block(y)
        for layer, like in zip(self.up, (sizes[2], sizes[1]), strict=True):
            y = F.relu(layer(F.interpolate(y, size=like.shape[-2:], mode="nearest")))
        return (127.5 + 150 * torch.tanh(self.head(y))).clamp(0, 255)


def load_backbone(network: nn.Module, checkpoint: Path) -> nn.Module:
    """`network`, its backbone (or itself, where it is one) filled from the classifier's checkpoint: a state dict of the
    same layers under shorter names."""
    backbone: Backbone = getattr(network, "backbone", network)
    state: Mapping[str, Tensor] = torch.load(required_file(checkpoint), map_location="cpu", weights_only=True)
    named = {}
    for key, value in state.items():
        for short, long in ((".a.", ".first."), (".b.", ".second."), (".sc.", ".shortcut.")):
            key = key.replace(short, long)
        named[key] = value.float() if value.is_floating_point() else value
    wanted = backbone.state_dict()
    missing = [key for key in wanted if key not in named]
    if missing:
        raise ValueError(f"{checkpoint}: has no {missing[0]} (and {len(missing) - 1} more of the backbone's layers)")
    backbone.load_state_dict({key: named[key] for key in wanted})
    return network


class AnchorFree(nn.Module):
    """A detector on strides 8, 16 and 32: raw (N, A, 5 + classes), x y w h objectness classes.

    A feature pyramid (Lin et al., 2017) with additions, and per stride a decoupled head as in YOLOX. `grey` makes
    it look at brightness only: then grey training pictures are no different from colour photos.
    """

    strides = (8, 16, 32)

    def __init__(self, classes: int, grey: bool = False) -> None:
        super().__init__()
        self.grey = grey
        self.backbone = Backbone((1, 1, 2, 1))
        w, width = WIDTHS, 80
        self.side = nn.ModuleList([ConvNorm(w[2], width, 1, relu=False), ConvNorm(w[3], width, 1, relu=False)])
        self.deep = nn.Sequential(ConvNorm(w[3], width, 1), Residual(width, width, 2), Residual(width, width, 1))
        self.smooth = nn.ModuleList([ConvNorm(width, width) for _ in self.strides])
        self.box_tower = nn.ModuleList([ConvNorm(width, 64) for _ in self.strides])
        self.class_tower = nn.ModuleList([ConvNorm(width, 64) for _ in self.strides])
        self.box = nn.ModuleList([nn.Conv2d(64, 5, 1) for _ in self.strides])
        self.kind = nn.ModuleList([nn.Conv2d(64, classes, 1) for _ in self.strides])
        for box, kind in zip(self.box, self.kind, strict=True):
            nn.init.constant_(box.bias[4:], -4.6)
            nn.init.constant_(kind.bias, 0.0)
            nn.init.constant_(box.bias[2:4], 1.2)

    def forward(self, x: Tensor) -> Tensor:
        features = self.backbone(to_grey(x) if self.grey else x)
        s8, s16 = features[2], features[3]
        p32 = self.deep(s16)
        p16 = self.side[1](s16) + resize_like(p32, s16)
        p8 = self.side[0](s8) + resize_like(p16, s8)
        rows = []
        for level, p in enumerate((p8, p16, p32)):
            p = self.smooth[level](F.relu(p))
            box = self.box[level](self.box_tower[level](p))
            kind = self.kind[level](self.class_tower[level](p))
            rows.append(torch.cat([box, kind], 1).flatten(2))
        return torch.cat(rows, 2).transpose(1, 2)


class Scored(nn.Module):
    """A detector as its file has it: objectness and classes through the sigmoid, boxes left raw."""

    def __init__(self, detector: nn.Module) -> None:
        super().__init__()
        self.detector = detector

    def forward(self, x: Tensor) -> Tensor:
        raw = self.detector(x)
        return torch.cat([raw[..., :4], raw[..., 4:].sigmoid()], -1)


class Scales(nn.Module):
    """A scored detector that looks at the picture, its half and its quarter, for objects larger than it was shown.

    The rows of the smaller pictures follow; a cell of stride s in a half is one of stride 2 s in the whole, so that
    they decode like any others, with `strides` for the strides. Sides must be multiples of 128.
    """

    strides = (8, 16, 32, 16, 32, 64, 32, 64, 128)

    def __init__(self, scored: nn.Module) -> None:
        super().__init__()
        self.scored = scored

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([self.scored(x), self.scored(F.avg_pool2d(x, 2)), self.scored(F.avg_pool2d(x, 4))], 1)


class Mirrored(nn.Module):
    """A classifier asked twice, about the picture and its mirror image; the logits are averaged."""

    def __init__(self, classifier: nn.Module) -> None:
        super().__init__()
        self.classifier = classifier

    def forward(self, x: Tensor) -> Tensor:
        return (self.classifier(x) + self.classifier(x.flip(3))) / 2
