"""A sample of at most so many videos: whole channels, in whatever order their videos come."""

import hashlib
import random
from collections import Counter

import pyarrow as pa

from services.cli.learning_tables import describe_training
from services.learning.sampling import SLACK, Sample

SCHEMA = pa.schema([pa.field("video_id", pa.string()), pa.field("channel_id", pa.string())])


def drawn(channels=60, seed=1):
    """Rows of channels of very different sizes, in any order."""
    generator = random.Random(seed)
    rows = [
        {"video_id": f"{channel}-{n}", "channel_id": f"UC{channel}"}
        for channel in range(channels)
        for n in range(generator.choice((1, 2, 5, 40)))
    ]
    generator.shuffle(rows)
    return rows


def sampled(rows, most, page=7):
    sample = Sample(most, SCHEMA)
    for start in range(0, len(rows), page):
        sample.add(rows[start : start + page])
    assert sample.seen == len(rows)
    return sample.rows().to_pylist()


def rank(channel_id):
    return hashlib.sha256(channel_id.encode()).digest()


def test_what_is_not_too_much_stays_as_it_came():
    rows = drawn()
    assert sampled(rows, len(rows)) == rows


def test_channels_are_taken_whole_in_the_order_of_their_hashes_until_there_are_enough():
    rows, most = drawn(), 150
    kept = sampled(rows, most)
    sizes = Counter(row["channel_id"] for row in rows)
    wanted, total = set(), 0
    for channel in sorted(sizes, key=rank):
        if total >= most:
            break
        wanted.add(channel)
        total += sizes[channel]
    assert kept == [row for row in rows if row["channel_id"] in wanted]
    assert most <= len(kept) < most + max(sizes.values())


def test_the_order_in_which_videos_come_makes_no_difference():
    rows = drawn()
    other = random.Random(2).sample(rows, len(rows))
    key = str
    assert sorted(sampled(rows, 150), key=key) == sorted(sampled(other, 150, page=50), key=key)


def test_more_videos_put_out_the_last_channels_and_bring_in_no_other():
    rows = drawn()
    before = {row["channel_id"] for row in sampled(rows, 150)}
    more = [
        {"video_id": f"new {row['video_id']}", "channel_id": row["channel_id"]} for row in rows[::3]
    ]
    after = {row["channel_id"] for row in sampled(rows + more, 150)}
    assert after <= before
    assert max(map(rank, after)) < min(map(rank, before - after))


def test_a_channel_of_more_than_there_may_be_is_kept_whole():
    rows = [{"video_id": str(n), "channel_id": "UCbig"} for n in range(90)]
    assert sampled(rows, 10) == rows


def test_never_much_more_is_held_than_is_kept():
    class Watched(Sample):
        most_held = 0

        def add(self, rows):
            super().add(rows)
            held = sum(batch.num_rows for batch in self._batches)
            self.most_held = max(self.most_held, held)

    rows = [{"video_id": str(n), "channel_id": f"UC{n % 500}"} for n in range(5_000)]
    sample = Watched(200, SCHEMA)
    for start in range(0, len(rows), 10):
        sample.add(rows[start : start + 10])
    assert sample.most_held <= SLACK * 200 + 10


def test_training_says_that_it_learned_from_a_sample():
    result = {
        "versions": {"constant": 1},
        "trained": True,
        "excluded": {"gone": 1, "sampledOut": 800_000},
        "dataset_id": "d" * 64,
        "absent": {},
        "without_image_features": None,
    }
    said = describe_training(result)
    assert "a sample of whole channels: 800,000 more videos" in said
    assert "TUBEGRADER_TRAINING_VIDEOS" in said
    assert "sample" not in describe_training(result | {"excluded": {"gone": 1}})
