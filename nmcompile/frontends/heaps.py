"""Checks the heaps of text in HDF5 files, in which the HDF5 library can loop without end.

A global heap collection is ``GCOL``, a version, its length, then objects: number, count of
references, length and content. A damaged length of 0 keeps the library at the same place (HDF5
1.14, `H5HG__cache_heap_deserialize`), so that lengths are walked here before it sees the file.
"""

from __future__ import annotations

import struct

MAGIC = b"\x89HDF\r\n\x1a\n"
#: A collection's first bytes: its name, version 1, and three of padding.
COLLECTION = b"GCOL\x01\x00\x00\x00"
#: Bytes of a collection's and of an object's header, where lengths have 8 bytes.
HEADER = 16
#: Version of the superblock -> where it says how many bytes a length has.
_LENGTH_BYTES = {0: 14, 1: 14, 2: 10, 3: 10}


def damaged_heap(data: bytes) -> str | None:
    """What is wrong with the heaps of an HDF5 file, or None."""
    place = _LENGTH_BYTES.get(data[8]) if len(data) > HEADER else None
    if not data.startswith(MAGIC) or place is None or data[place] != 8:
        return "its first bytes are not those that h5py writes"
    start = data.find(COLLECTION)
    while start >= 0:
        if not _walks(data, start):
            return f"the heap at byte {start} is damaged"
        start = data.find(COLLECTION, start + 1)
    return None


def _walks(data: bytes, start: int) -> bool:
    """Whether a collection's objects lead to its end."""
    if start + HEADER > len(data):
        return False
    end = start + struct.unpack_from("<Q", data, start + 8)[0]
    here = start + HEADER
    if not here <= end <= len(data):
        return False
    while end - here >= HEADER:
        number, size = struct.unpack_from("<H6xQ", data, here)
        taken = HEADER + -(-size // 8) * 8 if number else size
        if not HEADER <= taken <= end - here:
            return False
        here += taken
    return True
