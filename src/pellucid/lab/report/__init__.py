"""The comparison to read: one HTML file that opens offline, and a table for the terminal."""

from pellucid.lab.report.page import write
from pellucid.lab.report.terminal import terminal_table

__all__ = ["terminal_table", "write"]
