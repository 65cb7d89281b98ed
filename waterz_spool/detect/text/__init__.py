"""Text painted over the picture, found by the text network that the package rapidocr brings (extra ``text``)."""

from waterz_spool.detect.text.detector import TextDetector
from waterz_spool.detect.text.network import TextNetwork
from waterz_spool.detect.text.reader import TextReader

__all__ = ["TextDetector", "TextNetwork", "TextReader"]
