import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.emulator.masks import apply_mask, parse_mask
from services.emulator.problems import ApiError

RESPONSE = {
    "kind": "youtube#videoListResponse",
    "items": [
        {
            "id": "a",
            "snippet": {"title": "A", "tags": ["x", "y"]},
            "statistics": {"viewCount": "1"},
        },
        {"id": "b", "snippet": {"title": "B"}},
    ],
    "pageInfo": {"totalResults": 2},
}


def masked(text: str) -> object:
    return apply_mask(parse_mask(text, "VideoListResponse"), RESPONSE)


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("kind", {"kind": RESPONSE["kind"]}),
        ("items/id", {"items": [{"id": "a"}, {"id": "b"}]}),
        (
            "items(id,snippet/title)",
            {
                "items": [
                    {"id": "a", "snippet": {"title": "A"}},
                    {"id": "b", "snippet": {"title": "B"}},
                ]
            },
        ),
        ("items(statistics(viewCount))", {"items": [{"statistics": {"viewCount": "1"}}, {}]}),
        ("items/snippet(tags)", {"items": [{"snippet": {"tags": ["x", "y"]}}, {"snippet": {}}]}),
        (
            "pageInfo, items( id )",
            {"items": [{"id": "a"}, {"id": "b"}], "pageInfo": {"totalResults": 2}},
        ),
        (
            "items/*/title",
            {"items": [{"snippet": {"title": "A"}, "statistics": {}}, {"snippet": {"title": "B"}}]},
        ),
        ("*", RESPONSE),
        ("nextPageToken", {}),
    ],
)
def test_only_the_selected_fields_are_left(text, left):
    assert masked(text) == left


@pytest.mark.parametrize(
    "text",
    ["items(id", "items)", "items//id", ",", "items(", "", "items(id))", "items/", "a b!", "()"],
)
def test_a_malformed_mask_is_refused(text):
    with pytest.raises(ApiError) as refusal:
        parse_mask(text, "VideoListResponse")
    assert (refusal.value.status, refusal.value.reason) == (400, "invalidParameter")


@pytest.mark.parametrize("text", ["item", "items(idd)", "items/snippet/titel", "items/id/x"])
def test_a_field_that_the_api_lacks_is_refused(text):
    with pytest.raises(ApiError, match=text.rsplit("/", 1)[-1].removeprefix("items(").strip("()")):
        parse_mask(text, "VideoListResponse")


@given(st.text(alphabet="abitemsd(),/* ", max_size=30))
def test_any_text_is_a_mask_or_refused(text):
    try:
        mask = parse_mask(text, "VideoListResponse")
    except ApiError:
        return
    left = apply_mask(mask, RESPONSE)
    assert isinstance(left, dict)
    assert left.keys() <= RESPONSE.keys()
