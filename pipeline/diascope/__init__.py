"""From folders of medical scans to results that can be trusted and reviewed."""

__version__ = "0.1.0"
