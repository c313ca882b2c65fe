"""JSON with the additions that the README lists, to and from MessagePack."""

import base64
import json
import math
import struct
from collections import namedtuple

import msgpack


Ext = namedtuple("Ext", "code data")  # msgpack.ExtType takes no negative codes


class Pairs:
    """A map as pairs of a key and a value: in Python, maps and lists are no keys."""

    def __init__(self, pairs):
        self.pairs = pairs

    def get(self, key):
        return next((value for name, value in self.pairs if name == key), None)


# --- MessagePack ----------------------------------------------------------------------------------


def pack(value):
    parts = []
    _pack(parts.append, value)
    return b"".join(parts)


def _pack(write, value):
    if isinstance(value, dict):
        value = Pairs(list(value.items()))
    if isinstance(value, Pairs):
        write(struct.pack(">BI", 0xDF, len(value.pairs)))
        for pair in value.pairs:
            for part in pair:
                _pack(write, part)
    elif isinstance(value, list):
        write(struct.pack(">BI", 0xDD, len(value)))
        for element in value:
            _pack(write, element)
    elif isinstance(value, Ext):
        write(struct.pack(">BIb", 0xC9, len(value.data), value.code) + value.data)
    else:
        write(msgpack.packb(value))


def unpack(body):
    """The value with its maps as Pairs; ValueError when it is malformed."""
    return msgpack.unpackb(body, object_pairs_hook=Pairs, ext_hook=Ext, strict_map_key=False)


def depth(value):
    """How many levels of maps and arrays there are."""
    if isinstance(value, Pairs):
        inner = [part for pair in value.pairs for part in pair]
    elif isinstance(value, list):
        inner = value
    else:
        return 0
    return 1 + max(map(depth, inner), default=0)


# --- JSON -----------------------------------------------------------------------------------------

SPECIAL = {
    "$float": float,
    "$bin": base64.b64decode,
    "$ext": lambda pair: Ext(pair[0], base64.b64decode(pair[1])),
    "$map": Pairs,
}


def _object(pairs):
    if len(pairs) == 1 and pairs[0][0] in SPECIAL:
        return SPECIAL[pairs[0][0]](pairs[0][1])
    return dict(pairs)


def read_line(line):
    return json.loads(line, object_pairs_hook=_object)


def described(value):
    if isinstance(value, float) and not math.isfinite(value):
        return {"$float": str(value)}
    if isinstance(value, bytes):
        return {"$bin": base64.b64encode(value).decode()}
    if isinstance(value, msgpack.Timestamp):
        value = Ext(-1, value.to_bytes())
    if isinstance(value, Ext):
        return {"$ext": [value.code, base64.b64encode(value.data).decode()]}
    if isinstance(value, list):
        return [described(element) for element in value]
    if isinstance(value, Pairs):
        if all(isinstance(key, str) for key, _ in value.pairs):
            return {key: described(content) for key, content in value.pairs}
        return {"$map": [[described(key), described(content)] for key, content in value.pairs]}
    return value
