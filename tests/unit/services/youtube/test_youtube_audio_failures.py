"""What yt-dlp raises, and what it means: the words are those of yt-dlp's own extractor."""

from datetime import UTC, datetime, timedelta

import pytest
from yt_dlp.networking import exceptions as network
from yt_dlp.utils import (
    ContentTooShortError,
    DownloadError,
    ExtractorError,
    GeoRestrictedError,
    UnsupportedError,
)

from services.errors import BlockedError, PermanentError, TransientError
from services.youtube.audio.facts import NotYetError
from services.youtube.audio.failures import RefusedError, classify

NOW = datetime(2026, 11, 1, tzinfo=UTC)
LOGIN = (
    " Use --cookies-from-browser or --cookies for the authentication. See the wiki for how to "
    "manually pass cookies."
)


def wrapped(cause: BaseException) -> DownloadError:
    """As yt-dlp wraps it: the cause is in ``exc_info``."""
    return DownloadError(f"ERROR: {cause}", (type(cause), cause, None))


@pytest.mark.parametrize(
    ("said", "kind", "reason"),
    [
        (f"Sign in to confirm you’re not a bot.{LOGIN}", BlockedError, "botCheck"),
        (f"Sign in to confirm you're not a bot.{LOGIN}", BlockedError, "botCheck"),
        (
            (
                "This content isn't available. The current session has been rate-limited by "
                "YouTube for up to an hour."
            ),
            BlockedError,
            "rateLimited",
        ),
        (
            "Sign in to confirm your age. This video may be inappropriate for some users." + LOGIN,
            PermanentError,
            "ageGated",
        ),
        (
            (
                "Join this channel to get access to members-only content like this video, and "
                "other exclusive perks."
            ),
            PermanentError,
            "membersOnly",
        ),
        (
            "This video is available to this channel's members on level: Friends",
            PermanentError,
            "membersOnly",
        ),
        (
            f"Private video. Sign in if you've been granted access to this video.{LOGIN}",
            PermanentError,
            "private",
        ),
        (
            "Video unavailable. This video has been removed by the uploader",
            PermanentError,
            "removed",
        ),
        (
            (
                "Video unavailable. This video is no longer available because the YouTube account "
                "associated with this video has been terminated."
            ),
            PermanentError,
            "removed",
        ),
        (
            "Video unavailable. The uploader has not made this video available in your country",
            PermanentError,
            "geoBlocked",
        ),
        ("Video unavailable", PermanentError, "unavailable"),
        ("This video is DRM protected", PermanentError, "drmProtected"),
        ("Requested format is not available", PermanentError, "noAudio"),
        ("No video formats found!", PermanentError, "noAudio"),
        (f"Please sign in.{LOGIN}", PermanentError, "loginRequired"),
        ("This live event will begin in a few moments.", NotYetError, "upcoming"),
        ("Premiere will begin shortly", NotYetError, "upcoming"),
        ("something nobody has seen before", TransientError, "downloaderFailed"),
    ],
)
def test_what_youtube_says(said, kind, reason):
    error = classify(wrapped(ExtractorError(said, expected=True, video_id="x" * 11)), now=NOW)
    assert isinstance(error, kind)
    assert error.reason == reason


@pytest.mark.parametrize(
    ("said", "after"),
    [
        ("This live event will begin in 3 hours.", timedelta(hours=3)),
        ("Premieres in 45 minutes", timedelta(minutes=45)),
        ("This live event will begin in 1 day.", timedelta(days=1)),
        ("Premieres in a few moments", None),
    ],
)
def test_when_it_begins(said, after):
    error = classify(wrapped(ExtractorError(said, expected=True)), now=NOW)
    assert isinstance(error, NotYetError)
    assert error.not_before == (None if after is None else NOW + after)


@pytest.mark.parametrize(
    ("cause", "kind", "reason"),
    [
        (GeoRestrictedError("not for you"), PermanentError, "geoBlocked"),
        (UnsupportedError("http://a/"), TransientError, "malformedAnswer"),
        (network.TransportError("refused"), TransientError, "networkDown"),
        (network.TransportError(cause=TimeoutError()), TransientError, "timeout"),
        (network.TransportError(cause=ConnectionResetError()), TransientError, "connectionLost"),
        (network.CertificateVerifyError("no"), BlockedError, "certificateRefused"),
        (network.ProxyError("no"), TransientError, "proxyFailed"),
        (network.IncompleteRead(partial=1, expected=2), TransientError, "truncated"),
        (ContentTooShortError(1, 2), TransientError, "truncated"),
    ],
)
def test_what_the_network_does(cause, kind, reason):
    error = classify(wrapped(cause), now=NOW)
    assert isinstance(error, kind)
    assert error.reason == reason


def test_a_full_disk_is_no_fault_of_the_network():
    error = DownloadError("ERROR: unable to write data: [Errno 28] No space left on device")
    assert classify(error, now=NOW).reason == "cannotWrite"


def test_an_error_of_ours_comes_back_as_it_was():
    mine = KeyError("mine")
    assert classify(wrapped(RefusedError(mine)), now=NOW) is mine


def test_a_strange_message_stays_one_short_line():
    error = classify(wrapped(ExtractorError("a\nb\x00" + "c" * 5_000)), now=NOW)
    assert "\n" not in str(error)
    assert len(str(error)) < 250
