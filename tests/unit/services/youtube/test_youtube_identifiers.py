import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.errors import UsageError
from services.youtube.identifiers import (
    ChannelReference,
    ReferenceKind,
    is_channel_id,
    is_video_id,
    parse_channel_reference,
)

CHANNEL = "UC_x5XG1OV2P6uZZ5FSM9Ttw"
ID = ChannelReference(ReferenceKind.ID, CHANNEL)


def handle(name: str) -> ChannelReference:
    return ChannelReference(ReferenceKind.HANDLE, name)


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        (CHANNEL, ID),
        (f"  {CHANNEL}\n", ID),
        (f"https://www.youtube.com/channel/{CHANNEL}", ID),
        (f"youtube.com/channel/{CHANNEL}/videos?view=0", ID),
        (f"http://m.youtube.com/channel/{CHANNEL}#top", ID),
        (f"https://YouTube.com/channel/{CHANNEL}/", ID),
        ("@GoogleDevelopers", handle("GoogleDevelopers")),
        ("https://www.youtube.com/@GoogleDevelopers/featured", handle("GoogleDevelopers")),
        ("youtube.com/@GoogleDevelopers?si=abc", handle("GoogleDevelopers")),
        ("@떵개떵", handle("떵개떵")),
        ("https://youtube.com/@%EB%96%B5%EA%B0%9C%EB%96%B5", handle("떵개떵")),
        ("@हिन्दी", handle("हिन्दी")),
        ("@a.b-c_d·e", handle("a.b-c_d·e")),
        ("https://www.youtube.com/user/Google", ChannelReference(ReferenceKind.USERNAME, "Google")),
        ("youtube.com/c/Google/about", ChannelReference(ReferenceKind.CUSTOM, "Google")),
        ("https://www.youtube.com/Google", ChannelReference(ReferenceKind.CUSTOM, "Google")),
        ("youtube.com/Google/videos", ChannelReference(ReferenceKind.CUSTOM, "Google")),
        (f"https://www.youtube.com/feeds/videos.xml?channel_id={CHANNEL}", ID),
        (f"https://www.youtube.com/feeds/videos.xml?playlist_id=UU{CHANNEL[2:]}", ID),
        (f"https://www.youtube.com/feeds/videos.xml?playlist_id=UULF{CHANNEL[2:]}", ID),
        (f"https://www.youtube.com/playlist?list=UUSH{CHANNEL[2:]}", ID),
        (
            "youtube.com/feeds/videos.xml?user=Google",
            ChannelReference(ReferenceKind.USERNAME, "Google"),
        ),
        (f"https://studio.youtube.com/channel/{CHANNEL}/videos/upload?filter=%5B%5D", ID),
        (f"https://yewtu.be/channel/{CHANNEL}", ID),
        (f"https://invidious.example.org/feed/channel/{CHANNEL}", ID),
        (f"https://piped.video/channel/{CHANNEL}", ID),
        (f"//www.youtube.com/channel/{CHANNEL}", ID),
        ("/@GoogleDevelopers", handle("GoogleDevelopers")),
        ("@%EB%96%B5%EA%B0%9C%EB%96%B5", handle("떵개떵")),
        ("'@GoogleDevelopers", handle("GoogleDevelopers")),
        ("%40GoogleDevelopers", handle("GoogleDevelopers")),
        (f"'{CHANNEL}',", ID),
        ("“@GoogleDevelopers”", handle("GoogleDevelopers")),
        (f"\ufeff{CHANNEL}\u200b", ID),
        ("\u00a0@Google\u200bDevelopers\u2060", handle("GoogleDevelopers")),
    ],
)
def test_what_people_type_names_a_channel(typed, meant):
    assert parse_channel_reference(typed) == meant


@pytest.mark.parametrize(
    "typed",
    [
        "",
        "   ",
        "@",
        "@two words",
        "@a/b",
        "@nul\x00",
        "UCtooShort",
        CHANNEL + "x",
        "UC_x5XG1OV2P6uZZ5FSM9Tt!",
        "GoogleDevelopers",
        "example.com",
        f"https://youtube.com.example.org/channel/{CHANNEL}",
        f"https://youtube.com@example.org/channel/{CHANNEL}",
        f"ftp://youtube.com/channel/{CHANNEL}",
        "https://youtube.com/channel/UCshort",
        "https://youtube.com/channel",
        "https://youtube.com/",
        "https://youtube.com/watch?v=D-lhorsDlUQ",
        "https://youtube.com/shorts/D-lhorsDlUQ",
        "https://youtu.be/D-lhorsDlUQ",
        "https://consent.youtube.com/m?continue=https%3A%2F%2Fwww.youtube.com%2F%40name",
        f"https://www.youtube.com/attribution_link?u=/channel/{CHANNEL}",
        "https://www.youtube.com/redirect?q=https://example.com",
        "https://www.youtube.com/hashtag/music",
        "https://accounts.youtube.com/accounts/SetSID",
        "https://youtube.com/playlist?list=PLabc",
        f"https://youtube.com/playlist?list=PL{CHANNEL[2:]}",
        "https://youtube.com/feeds/videos.xml?channel_id=UCshort",
        "https://youtube.com/feeds/videos",
        "youtube.com/Google/dinner",
        f"https://piped/channel/{CHANNEL}",
        "https://youtube.com/@%00name",
        "https://[broken/channel/x",
        "file:///etc/passwd",
    ],
)
def test_anything_else_is_one_clear_line_that_says_what_to_give(typed):
    with pytest.raises(UsageError) as caught:
        parse_channel_reference(typed)
    assert "\n" not in str(caught.value)
    assert "@name" in (caught.value.hint or "")
    assert caught.value.reason == "badChannelReference"


def test_a_bare_word_is_answered_with_the_handle_it_may_be():
    with pytest.raises(UsageError) as caught:
        parse_channel_reference("GoogleDevelopers")
    assert "@GoogleDevelopers" in (caught.value.hint or "")


@given(st.text())
def test_parsing_never_fails_otherwise(typed):
    for text in (typed, "https://youtube.com/" + typed, "@" + typed):
        try:
            reference = parse_channel_reference(text)
        except UsageError as error:
            assert str(error).isprintable()  # noqa: PT017 - an error is one of two good ends
        else:
            assert reference.value
            assert "\x00" not in reference.value
            assert "/" not in reference.value


ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-"


@given(st.text(ALPHABET, min_size=22, max_size=22))
def test_every_channel_id_is_read_from_every_form_of_address(rest):
    channel_id = "UC" + rest
    for form in ("{}", "youtube.com/channel/{}", "https://m.youtube.com/channel/{}/videos"):
        assert parse_channel_reference(form.format(channel_id)) == ChannelReference(
            ReferenceKind.ID, channel_id
        )


@given(st.text(ALPHABET, min_size=11, max_size=11))
def test_eleven_characters_of_the_alphabet_are_a_video_id(value):
    assert is_video_id(value)
    assert not is_video_id(value + "\n")
    assert not is_video_id(value[:-1])
    assert not is_channel_id(value)


@pytest.mark.parametrize("value", ["", "abcdefghij", "abcdefghijkl", "abcdefghij/", "ábcdefghijk"])
def test_anything_else_is_no_video_id(value):
    assert not is_video_id(value)
