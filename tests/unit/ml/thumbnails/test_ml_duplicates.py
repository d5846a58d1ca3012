import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from ml.thumbnails.data.duplicates import NEAR_BITS, duplicate_groups, near_pairs, split_groups

HASHES = st.integers(0, 2**63 - 1)


@st.composite
def clustered(draw):
    """Hashes, some of them a few bits away from others."""
    seeds = draw(st.lists(HASHES, min_size=1, max_size=5))
    flips = st.lists(st.integers(0, 62), max_size=10)
    near = draw(st.lists(st.tuples(st.sampled_from(seeds), flips), max_size=15))
    moved = [seed ^ sum(1 << bit for bit in set(bits)) for seed, bits in near]
    return np.array(sorted({*seeds, *moved}), dtype=np.int64)


@given(clustered())
def test_the_pairs_found_are_those_within_the_distance(hashes):
    expected = {
        (i, j)
        for i in range(len(hashes))
        for j in range(i + 1, len(hashes))
        if int(hashes[i] ^ hashes[j]).bit_count() <= NEAR_BITS
    }
    assert {(min(pair), max(pair)) for pair in near_pairs(hashes)} == expected


@given(st.lists(st.tuples(st.sampled_from("ABCDE"), st.sampled_from("abcde")), min_size=1))
def test_a_split_group_holds_whole_channels_and_whole_groups_of_copies(rows):
    channels, duplicates = zip(*rows, strict=True)
    groups = split_groups(channels, duplicates)
    for members in (channels, duplicates):
        sides = {}
        for member, group in zip(members, groups, strict=True):
            assert sides.setdefault(member, group) == group
    # And no more than that: it is named by one of its own channels.
    assert all(channels[groups.index(group)] >= group for group in groups)
    assert set(groups) <= set(channels)


def test_equal_content_groups_without_a_hash_and_no_picture_groups_with_nothing():
    groups = duplicate_groups(
        ["v1", "v2", "v3", "v4", "v5"], ["aa", "aa", None, None, "bb"], [None, 7, None, None, 6]
    )
    assert groups == ["v1", "v1", "v3", "v4", "v1"]
