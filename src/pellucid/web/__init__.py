"""The page that opens trained networks: a server on the loopback address, and the questions that its page asks.

``opened`` holds what is looked into, ``questions`` has a module for each thing that can be asked of it, ``server`` lets the
page ask, ``stored`` records answers for a page without a server, and ``page/`` is the page, built from ``web/`` at the
project's root.
"""
