"""Sizes, padding, receptive field and cost of layers: pure arithmetic, no tensors."""

from pellucid.geometry.axis import TransposedWindow, Window, causal_padding, same_padding
from pellucid.geometry.notation import parse
from pellucid.geometry.stack import Field, Row, Stack

__all__ = ["Field", "Row", "Stack", "TransposedWindow", "Window", "causal_padding", "parse", "same_padding"]
