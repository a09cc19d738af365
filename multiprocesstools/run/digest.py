"""Digests: short names for long texts, the same on every machine and with every version.

hashlib brings OpenSSL with it, a tenth of a plain import, so it is loaded with the first digest.
"""


def sha256(data: bytes) -> str:
    """SHA-256 as 64 hexadecimal digits (FIPS 180-4)."""
    import hashlib

    return hashlib.sha256(data).hexdigest()
