"""The operators as one would explain them, in plain PyTorch: what every faster path is compared with."""
