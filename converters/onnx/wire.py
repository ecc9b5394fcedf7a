"""How much a protobuf message holds, told from its bytes before a parser makes objects of them.

Two bytes can stand for an empty message that takes a hundred in memory, so the size of a file bounds nothing.
"""

from __future__ import annotations

from typing import Any

from ..weights.refusals import DamagedError, UnreadableError

MOST_FIELDS = 1 << 19
"""Fields of all messages in a file; a network of a hundred layers has some ten thousand."""

MOST_TEXT = 1 << 25
"""Bytes of all names and texts."""

_VARINT, _EIGHT, _BYTES, _FOUR = 0, 1, 2, 5
_LONGEST_VARINT = 10


def check_amount(content: bytes, message: Any) -> None:
    """Refuse a message that has more fields, or longer texts, than any network.

    Parameters
    ----------
    content : bytes
    message : descriptor of a protobuf message

    Raises
    ------
    UnreadableError, DamagedError
    """
    fields, text = MOST_FIELDS, MOST_TEXT
    waiting = [(message, 0, len(content))]
    while waiting:
        known, place, end = waiting.pop()
        while place < end:
            field, begin, place = _next_field(content, place, end, known.fields_by_number)
            fields -= 1
            if field is not None and field.message_type is not None and begin < place:
                waiting.append((field.message_type, begin, place))
            elif field is not None and field.type == field.TYPE_STRING:
                text -= place - begin
                _check_text(content[begin:place])
            if fields < 0:
                raise UnreadableError(f"holds more than {MOST_FIELDS} fields, far more than any network; simplify it")
            if text < 0:
                raise UnreadableError(f"holds more than {MOST_TEXT} bytes of names and texts; shorten them")


def _check_text(content: bytes) -> None:
    """DamagedError of what is no text: protobuf would give its bytes in place of one."""
    try:
        content.decode()
    except UnicodeDecodeError:
        raise DamagedError(f"the text {content[:40]!r} is not in UTF-8") from None


def _next_field(content: bytes, place: int, end: int, known: Any) -> tuple[Any, int, int]:
    """Descriptor of the field at a place, None of an unknown one; where its value begins, and where it ends."""
    tag, place = _varint(content, place, end)
    kind = tag & 7
    begin, size = place, 0
    if kind == _VARINT:
        begin = _varint(content, place, end)[1]
    elif kind == _BYTES:
        size, begin = _varint(content, place, end)
    elif kind in (_EIGHT, _FOUR):
        size = 8 if kind == _EIGHT else 4
    else:
        raise DamagedError(f"byte {place} begins a field of no known kind")
    if begin + size > end:
        raise DamagedError(f"the field at byte {place} goes beyond its message")
    return (known.get(tag >> 3) if kind == _BYTES else None), begin, begin + size


def _varint(content: bytes, place: int, end: int) -> tuple[int, int]:
    """A number of seven bits a byte, and the place behind it."""
    if place < end and content[place] < 128:
        return content[place], place + 1  # nearly all of them
    value = 0
    for shift, byte in enumerate(content[place : min(place + _LONGEST_VARINT, end)]):
        value |= (byte & 127) << (7 * shift)
        if byte < 128:
            return value, place + shift + 1
    raise DamagedError(f"the number at byte {place} does not end")
