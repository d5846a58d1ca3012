"""Which format is taken."""

from hypothesis import given
from hypothesis import strategies as st

from services.youtube.audio.choice import bit_rate, smallest_good


def audio(format_id: str, abr: float | None = None, **changes):
    known = {"format_id": format_id, "abr": abr, "vcodec": "none", "acodec": "opus"}
    return known | {"protocol": "https"} | changes


def test_the_lowest_rate_that_is_good_enough():
    offered = [audio("139", 31), audio("249", 50), audio("251", 130), audio("140", 128)]
    assert smallest_good(offered) == offered[1]
    assert smallest_good(offered, least_kbps=100) == offered[3]
    assert smallest_good(offered, least_kbps=1_000) == offered[2]


def test_a_dubbed_track_is_not_the_person_s_language():
    dubbed = audio("249-1", 50, language="de", language_preference=-1)
    original = audio("251-0", 130, language="zh", language_preference=10)
    assert smallest_good([dubbed, original]) == original


def test_video_with_sound_only_where_there_is_no_sound_alone():
    both = audio("18", 96, vcodec="avc1")
    assert smallest_good([both, audio("251", 130)])["format_id"] == "251"
    assert smallest_good([both]) == both


def test_nothing_without_sound_in_fragments_or_encrypted():
    assert smallest_good([]) is None
    assert smallest_good([audio("160", 80, acodec="none", vcodec="avc1")]) is None
    assert smallest_good([audio("a", 80, protocol="m3u8_native")]) is None
    assert smallest_good([audio("b", 80, protocol="http_dash_segments")]) is None
    assert smallest_good([audio("c", 80, has_drm=True)]) is None


rates = st.one_of(
    st.none(), st.floats(allow_nan=True, allow_infinity=True), st.integers(-5, 500), st.text()
)


@given(st.lists(st.tuples(rates, rates), max_size=8), st.floats(1, 400))
def test_no_offered_format_that_is_good_enough_is_smaller(found, least):
    offered = [audio(str(n), abr, tbr=tbr) for n, (abr, tbr) in enumerate(found)]
    chosen = smallest_good(offered, least_kbps=least)
    assert (chosen is None) == (not offered)
    good = [rate for one in offered if (rate := bit_rate(one)) is not None and rate >= least]
    if good:
        assert bit_rate(chosen) == min(good)
