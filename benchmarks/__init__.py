"""Measurements side by side with what people use today; run by hand, never by a test."""
