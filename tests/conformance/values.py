"""Payloads of all kinds, as the README's JSON; and whether two are the same."""

import base64
import json


def _bin(size):
    return {"$bin": base64.b64encode(bytes(n * 7 % 256 for n in range(size))).decode()}


def _ext(code, size):
    return {"$ext": [code, _bin(size)["$bin"]]}


def _nested(levels):
    value = {"bottom": []}
    for level in range(levels):
        value = {"down": value} if level % 2 else [value]
    return value


INTEGERS = sorted({
    sign * (1 << bits) + more
    for bits in (0, 5, 7, 8, 15, 16, 31, 32, 52, 53, 54, 62, 63, 64)
    for sign in (1, -1) for more in (-1, 0, 1)
    if -(1 << 63) <= sign * (1 << bits) + more < 1 << 64
})

TEXTS = [
    "", "a", "ü", "日本語", "😀👩‍👩‍👧", "e\u0301", "עברית", "\u0000", "a\u0000b", "\u001f\u007f",
    "\u2028\u2029\ufeff", "\uffff\U0010ffff", "\"\\/\b\f\n\r\t", "\\u0041", "$bin", "~/~0~1",
    *("x" * size for size in (31, 32, 255, 256, 65535, 65536)),
]

PAYLOADS = {
    "empty": {},
    "nil and bool": {"nil": None, "true": True, "false": False},
    "integers": {"all": INTEGERS},
    "floats": {"all": [
        0.5, -0.0, 1.5e300, 5e-324, -2.2250738585072014e-308, 0.1, 1 / 3, 1.7976931348623157e308,
        {"$float": "nan"}, {"$float": "inf"}, {"$float": "-inf"},
    ]},
    "whole floats": {"all": [1.0, -3.0, 1e15, 1e16, 1e100]},
    "texts": {"all": TEXTS},
    "keys": {text[:300]: number for number, text in enumerate(TEXTS)},
    "bin": {"all": [_bin(size) for size in (0, 1, 2, 3, 4, 255, 256, 65535, 65536)]},
    "ext": {"all": [_ext(code, size) for code in (-128, -2, 0, 1, 127)
                    for size in (0, 1, 2, 3, 4, 8, 15, 16, 17, 255, 256)] + [_ext(5, 65536)]},
    "timestamps": {"all": [
        {"$ext": [-1, base64.b64encode(data).decode()]}
        for data in (bytes.fromhex("6a3f0000"), bytes.fromhex("d6ffffff6a3f0000"),
                     bytes.fromhex("00000001ffffffff6a3f0000"))
    ]},
    "arrays": {"all": [[], [[]], [{}], [None], list(range(15)), list(range(16)), [0] * 65536]},
    "maps": {"all": [{}, {"": {}}, {"a": []}]
             + [{f"key {n}": n for n in range(size)} for size in (15, 16, 1000)]},
    "maps with keys of all kinds": {"all": [
        {"$map": [[1, "one"], [-7, "minus seven"], ["text", 0]]},
        {"$map": [[True, 1], [False, 0], [2.5, "float"], [(1 << 64) - 1, "large"]]},
        {"$map": [[7, {"$map": [[8, []]]}], [None, 1], [{"$float": "nan"}, 2]]},
    ]},
    "nested": {"all": _nested(100)},
    "what looks like an addition": {"all": [{"$bin": _bin(3)["$bin"], "b": 1}, {"$other": 1}]},
}


def same(a, b):
    """Whether two payloads are the same; a float with an integral value may be an integer."""
    if isinstance(a, dict) and isinstance(b, dict):
        if a.keys() == b.keys() == {"$map"}:
            return same(*(sorted(map(json.dumps, value["$map"])) for value in (a, b)))
        return a.keys() == b.keys() and all(same(value, b[key]) for key, value in a.items())
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, float) or isinstance(b, float):
        return type(a) in (int, float) and type(b) in (int, float) and repr(float(a)) == repr(
            float(b))
    return type(a) is type(b) and a == b
