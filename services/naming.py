"""Channels as keyboards of the whole world name them."""

import unicodedata

from services.youtube.identifiers import ChannelReference, parse_channel_reference

_DRESSED = frozenset(
    {"<wide>", "<narrow>", "<small>", "<font>", "<circle>", "<square>", "<super>", "<sub>"}
)
"""Kinds of characters that are others in another dress: ＠, ﹫, ａ, 𝐚, ⓐ."""

LONGEST = 2_000
"""Characters of what may name a channel; the longest address that browsers take everywhere."""


def undressed(text: str) -> str:
    """Write the plain characters that full-width, ornamental and other look-alikes stand for.

    Not all that NFKC folds: it also takes letters apart that names are really written with, such
    as the Thai ำ.
    """
    if text.isascii():
        return text
    plain = "".join(
        unicodedata.normalize("NFKC", c)
        if unicodedata.decomposition(c).partition(" ")[0] in _DRESSED
        else c
        for c in text
    )
    return unicodedata.normalize("NFC", plain)


def parse_channel(typed: str) -> ChannelReference:
    """Read a channel id, an ``@handle`` or a channel's address, in whatever dress.

    Raises:
        UsageError: It is none of these; the message says what to give instead.
    """
    # With the ellipsis it is as wrong as it was.
    bounded = typed if len(typed) <= LONGEST else typed[:LONGEST] + "…"
    return parse_channel_reference(undressed(bounded))
