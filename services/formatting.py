"""Numbers in messages for people."""


def counted(number: int, thing: str) -> str:
    """Return ``1 video``, ``0 videos``, ``1,200 videos``: a number and what is counted.

    Args:
        number: How many.
        thing: One of them, in a word whose plural ends in s.
    """
    return f"{number:,} {thing}" if number == 1 else f"{number:,} {thing}s"
