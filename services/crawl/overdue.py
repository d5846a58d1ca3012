"""What is overdue is counted beside what it follows from, for when it is very much."""

import time

from db.queries.catalog import overdue
from services.context import Context

FEW = 50_000
"""Items that one transaction looks through; more are counted some channels after the other."""
MOST_GONE = 20_000
"""Rows that one transaction lets go of."""
CHANNELS = 100
"""With how many channels at a time it begins; then as many as take about :data:`PAGE_S`."""
PAGE_S = 0.5


def count(context: Context) -> bool:
    """Count what is overdue of all channels; tell whether everything was counted.

    What is shown as counted at a moment was counted then or later.
    """
    now = context.clock()
    with context.transaction() as session:
        is_much = overdue.is_more(session, FEW, now=now)
    if not (_count_by_channel(context) if is_much else _count_all(context)):
        return False  # another dispatcher is at it
    with context.transaction() as session:
        overdue.note_counted(session, at=now)
    return True


def _count_all(context: Context) -> bool:
    gone = MOST_GONE
    while gone == MOST_GONE:
        with context.transaction() as session:
            if not overdue.take_turn(session):
                return False
            gone = overdue.count_all(session, now=context.clock(), most=MOST_GONE)
    return True


def _count_by_channel(context: Context) -> bool:
    after, n = "", CHANNELS
    while True:
        began = time.monotonic()
        with context.transaction() as session:
            if not overdue.take_turn(session):
                return False
            channel_ids = overdue.next_channels(session, after, n)
            if not channel_ids:
                return True
            overdue.count_of(session, channel_ids, now=context.clock())
        after = channel_ids[-1]
        took_s = time.monotonic() - began
        if took_s < PAGE_S / 2:
            n *= 2
        elif took_s > PAGE_S:
            n = max(n // 2, 1)
