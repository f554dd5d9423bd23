"""The asset graph of a plant store: from the shop's tables to funnel and stock answers."""

__version__ = "0.1.0"
