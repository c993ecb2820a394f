"""vbench: what video architectures cost, how that cost grows, and whether a published formula is true."""

__version__ = "0.1.0"
