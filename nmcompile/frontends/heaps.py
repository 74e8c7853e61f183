"""Checks the heaps of text in HDF5 files, in which the HDF5 library can loop without end.

A global heap collection is ``GCOL``, a version, its length, then objects: number, count of
references, length and content. A damaged length of 0 keeps the library at the same place (HDF5
1.14, `H5HG__cache_heap_deserialize`), so that lengths are walked here before it sees the file.

What refers to a text is its length, the place of the collection, and the object's number there. The
library takes memory for that length before it looks at the object's own (HDF5 1.14, `H5T_vlen`).
"""

from __future__ import annotations

import struct

MAGIC = b"\x89HDF\r\n\x1a\n"
#: A collection's first bytes: its name, version 1, and three of padding.
COLLECTION = b"GCOL\x01\x00\x00\x00"
#: Bytes of a collection's and of an object's header, where lengths have 8 bytes.
HEADER = 16
#: Length in bytes up to which a text may lie: other references have no length, and some look so.
HARMLESS = 1 << 26
#: Bytes that may be searched for references, all collections together.
MOST_SEARCHED = 1 << 37
#: Version of the superblock -> where it says how many bytes a length has.
_LENGTH_BYTES = {0: 14, 1: 14, 2: 10, 3: 10}


def damaged_heap(data: bytes) -> str | None:
    """What is wrong with the heaps of an HDF5 file, or None."""
    place = _LENGTH_BYTES.get(data[8]) if len(data) > HEADER else None
    if not data.startswith(MAGIC) or place is None or data[place] != 8:
        return "its first bytes are not those that h5py writes"
    start, count = data.find(COLLECTION), 0
    while start >= 0:
        objects = _objects(data, start)
        if objects is None:
            return f"the heap at byte {start} is damaged"
        count += 1
        if count * len(data) > MOST_SEARCHED:
            return "it holds too many heaps"
        if not _fits(data, start, objects):
            return f"a text in the heap at byte {start} claims a length that it does not have"
        start = data.find(COLLECTION, start + 1)
    return None


def _fits(data: bytes, start: int, objects: dict[int, int]) -> bool:
    """Whether what refers to a collection's objects claims no more than their lengths."""
    place = struct.pack("<Q", start)
    found = data.find(place, 4)
    while found >= 0 and found + 12 <= len(data):
        length, number = struct.unpack_from("<I8xI", data, found - 4)
        if length > max(HARMLESS, objects.get(number, length)):
            return False
        found = data.find(place, found + 1)
    return True


def _objects(data: bytes, start: int) -> dict[int, int] | None:
    """Number -> length of a collection's objects; None where they do not lead to its end."""
    if start + HEADER > len(data):
        return None
    objects: dict[int, int] = {}
    end = start + struct.unpack_from("<Q", data, start + 8)[0]
    here = start + HEADER
    if not here <= end <= len(data):
        return None
    while end - here >= HEADER:
        number, size = struct.unpack_from("<H6xQ", data, here)
        taken = HEADER + -(-size // 8) * 8 if number else size
        if not HEADER <= taken <= end - here:
            return None
        if number:
            objects[number] = size
        here += taken
    return objects
