"""Sizes, padding, receptive field and cost of layers: pure arithmetic, no tensors."""
