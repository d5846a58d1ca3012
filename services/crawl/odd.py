"""Values of YouTube's that cannot be kept: counted by field, with a few of them as examples."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date, datetime, timedelta
from typing import Any

from sqlalchemy.orm import Session

from db.models import OddValue
from db.queries.catalog import odd_values
from services.context import Context
from services.formatting import counted
from services.youtube.facts import Oddity

LATELY = timedelta(days=7)
MOST_SHOWN = 6


@dataclass(frozen=True)
class OddField:
    """How often a field came with a value that cannot be kept, and a few of those by number."""

    field: str
    items: int
    examples: Mapping[str, int]

    def as_json(self) -> dict[str, Any]:
        """Return plain values for ``--json``."""
        return asdict(self)


def note(context: Context, found: Iterable[Oddity]) -> None:
    """Count values that became unknown."""
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for odd in found:
        counts[odd.field][odd.value] += 1
    if counts:
        # By itself, and short: whoever counts the same field waits for the row.
        with context.transaction() as session:
            odd_values.add(session, counts, day=context.clock().date())


def lately(context: Context) -> list[OddField]:
    """Return what became unknown in the last seven days, the most frequent first."""
    with context.transaction() as session:
        return _summed(odd_values.since(session, (context.clock() - LATELY).date()))


def so_far(session: Session, *, now: datetime) -> dict[str, Any]:
    """Return what was counted today until now, for :func:`since`."""
    today = now.date()
    fields = {row.field: [row.items, row.examples] for row in odd_values.since(session, today)}
    return {"day": today.isoformat(), "fields": fields}


def since(session: Session, before: Mapping[str, Any]) -> list[OddField]:
    """Return what was counted after :func:`so_far` was asked."""
    day = date.fromisoformat(before["day"])
    counted_then = before["fields"]
    found = []
    for odd in _summed(odd_values.since(session, day)):
        items, examples = counted_then.get(odd.field, (0, {}))
        left = {v: n - examples.get(v, 0) for v, n in odd.examples.items()}
        if odd.items > items:
            new = {value: n for value, n in left.items() if n > 0}
            found.append(OddField(odd.field, odd.items - items, new))
    return found


def described(found: Sequence[OddField | Mapping[str, Any]]) -> str:
    """Return a line: how many values became unknown, and which."""
    fields = [odd.as_json() if isinstance(odd, OddField) else odd for odd in found]
    shown = sorted(
        ((n, odd["field"], value) for odd in fields for value, n in odd["examples"].items()),
        key=lambda each: (-each[0], each[1], each[2]),
    )
    line = f"{counted(sum(odd['items'] for odd in fields), 'odd value')} became unknown"
    parts = [f"{field} {value} ×{n}" for n, field, value in shown[:MOST_SHOWN]]
    if sum(n for n, _, _ in shown[:MOST_SHOWN]) < sum(odd["items"] for odd in fields):
        parts.append("…")
    return f"{line}: {', '.join(parts)}"


def _summed(rows: Iterable[OddValue]) -> list[OddField]:
    items: Counter[str] = Counter()
    examples: dict[str, Counter[str]] = defaultdict(Counter)
    for row in rows:
        items[row.field] += row.items
        examples[row.field].update(row.examples)
    return [
        OddField(field, n, dict(examples[field].most_common(odd_values.MOST_EXAMPLES)))
        for field, n in items.most_common()
    ]
