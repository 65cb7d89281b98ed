"""Remove burnt-in overlays from video, spread over machines that share nothing but a directory."""

__version__ = "0.1.0"
