"""Takes the place of charset-normalizer: tells UTF-8 from Latin-1 and guesses nothing else."""

from __future__ import annotations

__all__ = ["__version__", "detect"]

__version__ = "3.4.0"


def detect(
    byte_str: bytes, should_rename_legacy: bool = False, **options: object
) -> dict[str, object]:
    """Return the encoding of ``byte_str`` in the shape of chardet's answer."""
    del should_rename_legacy, options
    for encoding in ("ascii", "utf-8"):
        try:
            bytes(byte_str).decode(encoding)
        except UnicodeDecodeError:
            continue
        return {"encoding": encoding, "language": "", "confidence": 1.0}
    return {"encoding": "ISO-8859-1", "language": "", "confidence": 0.5}
