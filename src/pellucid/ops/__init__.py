"""Operators: one file each, with its checks and its choice of path; the references are beside them."""
