"""Ways to spoil an input: blindly by its bytes, or knowing that it is JSON, a table or XML."""

import json
import random
import re
from collections.abc import Callable, Sequence
from copy import deepcopy
from typing import Any

Mutation = Callable[[random.Random, bytes], bytes]
"""Makes another input of one."""

NUMBERS = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)
TEXTS = (
    *("", " ", "\0", "\ud800", "\ufeff", "\u202e", "\u200b", "=1+1", "'@a", "＠name", "@", "UC"),
    *(
        "é" * 50,
        "x" * 5_000,
        "𝕏",
        "👩‍👩‍👧",
        "NaN",
        "-1",
        "1e999",
        "0x10",
        "９",
        "true",
        "null",
        "\\",
        "%00",
    ),
    *("2026-13-45T99:99:99Z", "0001-01-01T00:00:00Z", "9999-12-31T23:59:59+14:00", "P9999999999DT"),
    *("18446744073709551615", "9223372036854775808", "9" * 5_000, "https://[::1", "//", "@a/../b"),
)
VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 2**63, 2**64, 10**400, 1e308, 0.5, float("nan"), float("inf")),
    *([], {}, [[]], [None], {"": None}, {"id": {"id": {}}}, [{}] * 60, *TEXTS),
)


def spoil(chance: random.Random, data: bytes, words: Sequence[bytes] = ()) -> bytes:
    """Change one to four places of some bytes: flipped, overwritten, lost, doubled or put in."""
    found = bytearray(data)
    for _ in range(chance.choice((1, 1, 2, 4))):
        at = chance.randrange(len(found) + 1)
        # Headers are where formats are decided.
        at = chance.randrange(min(len(found), 64) + 1) if chance.random() < 0.3 else at
        length = chance.choice((1, 2, 4, 8, 64, 1_000))
        match chance.randrange(8):
            case 0 if at < len(found):
                found[at] ^= 1 << chance.randrange(8)
            case 1:
                width, order = chance.choice((1, 2, 4, 8)), chance.choice(("big", "little"))
                number = chance.choice(NUMBERS) % 256**width
                found[at : at + width] = number.to_bytes(width, order)  # type: ignore[arg-type]
            case 2:
                del found[at : at + length]
            case 3:
                found[at:at] = found[at : at + length] * chance.choice((1, 2, 30))
            case 4:
                del found[at:]
            case 5 if words:
                found[at:at] = chance.choice(words)
            case 6:
                found[at : at + length] = chance.randbytes(min(length, 64))
            case _:
                start = chance.randrange(len(found) + 1)
                found[at:at] = found[start : start + length]
    return bytes(found[:200_000])


def spoil_json(chance: random.Random, data: bytes) -> bytes:
    """Change values, keys or the order of a JSON document, which stays one."""
    try:
        whole = [json.loads(data)]
    except ValueError:
        return spoil(chance, data)
    for _ in range(chance.choice((1, 1, 2, 5))):
        holder, key = chance.choice(list(_places(whole)))
        match chance.randrange(5):
            case 0 if isinstance(holder, dict):
                del holder[key]
            case 1 if isinstance(holder, dict):
                holder[chance.choice(TEXTS)] = holder.pop(key)
            case 2 if isinstance(holder, list) and holder is not whole:
                holder.insert(key, holder[key])
            case 3:
                _, other = chance.choice([(0, whole[0]), *_values(whole)])
                holder[key] = json.loads(json.dumps(other))
            case _:
                holder[key] = deepcopy(chance.choice(VALUES))
    return json.dumps(whole[0], ensure_ascii=chance.random() < 0.5).encode("utf-8", "surrogatepass")


def spoil_table(chance: random.Random, data: bytes) -> bytes:
    """Change cells, columns, lines or delimiters of a table."""
    text = data.decode("utf-8", "replace")
    delimiter = chance.choice([d for d in ",;\t|" if d in text] or [","])
    rows = [line.split(delimiter) for line in text.split("\n")]
    for _ in range(chance.choice((1, 2, 4))):
        row = chance.choice(rows)
        at = chance.randrange(len(row) + 1)
        match chance.randrange(6):
            case 0:
                row[at : at + 1] = [chance.choice(TEXTS)]
            case 1:
                row[at:at] = [f'"{chance.choice(TEXTS)}']
            case 2:
                rows.insert(chance.randrange(len(rows) + 1), list(row))
            case 3:
                del row[at:]
            case 4:
                delimiter = chance.choice(",;\t|")
            case _:
                chance.shuffle(row)
    end = chance.choice(("\n", "\r\n", "\r", "\n\n"))
    return end.join(delimiter.join(row) for row in rows).encode("utf-8", "surrogatepass")


def spoil_markup(chance: random.Random, data: bytes) -> bytes:
    """Change tags, attributes or texts of XML or HTML."""
    parts = re.split(r"(<[^>]*>)", data.decode("utf-8", "replace"))
    for _ in range(chance.choice((1, 2, 4))):
        at = chance.randrange(len(parts))
        match chance.randrange(5):
            case 0:
                parts[at] = ""
            case 1:
                parts.insert(at, parts[chance.randrange(len(parts))])
            case 2:
                parts[at] = re.sub(r'"[^"]*"', lambda _: f'"{chance.choice(TEXTS)}"', parts[at])
            case 3:
                parts[at] = parts[at].replace('"', "", 1)
            case _:
                parts[at] += chance.choice((*TEXTS, "<!--", "]]>", "<![CDATA[", "&x;", "<a" * 500))
    return "".join(parts).encode("utf-8", "surrogatepass")


def _places(value: Any) -> Any:
    """Yield every (container, key) of a document."""
    keys = value.keys() if isinstance(value, dict) else range(len(value))
    for key in list(keys):
        yield value, key
        if isinstance(value[key], dict | list):
            yield from _places(value[key])


def _values(value: Any) -> list[tuple[Any, Any]]:
    return [(key, holder[key]) for holder, key in _places(value)]
