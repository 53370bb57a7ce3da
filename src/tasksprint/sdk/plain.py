"""Plain JSON, as both conversations carry it: what is refused, and how it is found cheaply.

Not every program reads a JSON number as Python does: most keep a double, in which an integer beyond
2^53 silently becomes another one, and NaN and Infinity are no JSON at all.  A computation that gives
the same answer everywhere cannot let that pass, so both ends refuse: the SDK when it writes, our own
processes when they read.

Invariant: the reader never decodes a value to check it.  `unsafe_number` first maps the text to a
picture in which every digit is a ``0`` (one pass in C), and looks for a long run of them that is not a
fraction; only a text with such a run is looked at closely, without its strings.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

SAFE_INTEGER = 1 << 53

_PICTURE = bytes(
    ord("0") if chr(byte) in "0123456789" else ord("e") if chr(byte) in "eE" else byte if chr(byte) == "." else ord(" ")
    for byte in range(256)
)
_LONG_RUN = re.compile(rb"[^0.]0{16,}(?![0.e])")
_STRING = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"', re.DOTALL)
_INTEGER = re.compile(rb"(?<![0-9.eE+])-?([0-9]{16,})(?![0-9.eE])")
_POWER = re.compile(rb"-?[0-9]+(?:\.[0-9]+)?[eE]\+?[0-9]{3,}")

_encoder = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"))
_quote = json.encoder.encode_basestring
_SHORTEST_UNSAFE = 16  # digits


def _quick() -> Callable[[Any], str]:
    """As `json` does it, without making a new encoder for each value where this Python allows."""
    make: Any = getattr(json.encoder, "c_make_encoder", None)
    try:
        chunks = make(None, _encoder.default, _quote, None, ":", ",", False, False, False)
        return lambda value: "".join(chunks(value, 0))
    except (AttributeError, TypeError):
        return _encoder.encode


_encode = _quick()


class NotPlain(ValueError):
    """A value that JSON does not carry to every language unchanged."""


def unsafe_number(text: bytes) -> str:
    """What is wrong with a number in this JSON text, or "" when nothing is."""
    picture = text.translate(_PICTURE, b"+")
    if b"e000" not in picture and (b"0" * 16 not in picture or not _LONG_RUN.search(b" " + picture)):
        return ""
    bare = _STRING.sub(b'""', text)
    for match in _INTEGER.finditer(bare):
        if len(match[1]) > 16 or int(match[1]) > SAFE_INTEGER:
            return f"the integer {match[0][:40].decode()} is beyond 2^53: send it as a string"
    for match in _POWER.finditer(bare):
        if float(match[0]) in (float("inf"), float("-inf")):
            return f"the number {match[0][:40].decode()} is infinite: send it as a string"
    return ""


def dumps(value: Any) -> str:
    """JSON text of `value` on one line; raises NotPlain with a reason for a person."""
    try:
        text = _encode(value)
    except ValueError as error:
        if "Circular" in str(error):
            raise NotPlain("the value contains itself") from None
        raise NotPlain("NaN and Infinity are not JSON: send them as strings, or leave them out") from None
    except TypeError as error:
        raise NotPlain(f"JSON cannot carry this: {error}") from None
    except RecursionError:
        raise NotPlain("the value is nested too deeply") from None
    try:
        wrong = unsafe_number(text.encode()) if len(text) >= _SHORTEST_UNSAFE or not text.isascii() else ""
    except UnicodeEncodeError:
        raise NotPlain("a string holds half a character (a file name that is not UTF-8?)") from None
    if wrong:
        raise NotPlain(wrong)
    return text
