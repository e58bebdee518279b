"""What Pellucid raises: one sentence for the person who made the mistake.

Each message says what was given, with its numbers, what is needed, and what would mend it. Every class is
also a subclass of the type that torch raises for the same mistake, so existing ``except`` clauses still hold.
"""


class PellucidError(Exception):
    """The base of all errors that Pellucid raises on purpose."""


class SizeError(PellucidError, RuntimeError):
    """A tensor's shape does not fit a layer, or a layer's output would be empty."""


class DeviceError(PellucidError, RuntimeError):
    """A tensor is on another device than the layer that it is given to."""


class ArgumentError(PellucidError, ValueError):
    """An argument has a value that the layer or function cannot take."""


class ArgumentTypeError(PellucidError, TypeError):
    """An argument has a type that the layer or function cannot take."""


class CellError(PellucidError):
    """A recurrent cell's declaration is wrong; the message names the cell, the line and the remedy."""


class EngineError(PellucidError, ImportError):
    """The native engine cannot be loaded."""


class DataError(PellucidError):
    """The person's data cannot be used as it is; the message names the file and, where known, the row."""
