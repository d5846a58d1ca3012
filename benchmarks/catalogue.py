"""The benchmarks that there are: what each measures, and what bounds it."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Benchmark:
    """A module of this package with ``measure(*, full)``, which returns its measurements.

    Attributes:
        what: For people.
        bound: What limits it, in a sentence.
    """

    what: str
    bound: str


BENCHMARKS = {
    "refresh": Benchmark(
        "units that a refresh of 1,000 videos costs",
        "YouTube answers for fifty ids a unit; nothing is asked twice.",
    ),
    "start_up": Benchmark(
        "how fast `tubegrader --help` answers",
        "Python's own start and the imports of the command line; no other room is imported.",
    ),
    "memory": Benchmark(
        "how much memory a crawl worker takes",
        "What is imported: no torch, and the rest is the interpreter, SQLAlchemy and Celery.",
    ),
    "batches": Benchmark(
        "memory of batch jobs where ten times as many videos are stored",
        "A page of rows at a time, beside what torch and the program take themselves.",
    ),
    "odd": Benchmark(
        "a crawl in which five things in a hundred are odd, against a clean one",
        "The pauses between tries of what failed in passing, which nothing else fills here.",
    ),
    "metrics": Benchmark(
        "what counting costs a crawl, and what a scrape costs",
        "A look into a dictionary and an addition in mapped memory, a few for each batch.",
    ),
    "workers": Benchmark(
        "two crawl workers against one",
        "The answers' 500 ms; with them waiting, the offline YouTube and the dispatcher.",
    ),
    "claiming": Benchmark(
        "claiming work among more and more rows",
        "One page of the primary key for each claimed id, since ids are random.",
    ),
    "dispatching": Benchmark(
        "a dispatcher's second among more and more rows",
        "A claim for each batch that is due; the look at what is due reads an index's beginning.",
    ),
    "purge": Benchmark(
        "counts and scores purged, at the end and at the beginning, and days dropped",
        "Rows that are deleted cost their index entries; days that are dropped cost a lock.",
    ),
    "views": Benchmark(
        "what analysts ask of a million videos, four models and ten thousand swaps",
        "First pages by their rows alone; what is added up by every row of the rung.",
    ),
    "ingest": Benchmark(
        "snapshots from parsed answers into the database",
        "COPY itself, then the triggers that keep newest and daily counts, and a commit a batch.",
    ),
    "speech_cutting": Benchmark(
        "speech decoded and cut into segments, and the memory of a long file",
        "The decoder's time; a buffer of fixed length is all that is in memory.",
    ),
    "speech_models": Benchmark(
        "training of speech models, and their speed against decoding",
        "The networks' own passes; log-mel bands are made once.",
    ),
    "view_models": Benchmark(
        "training of thumbnail networks",
        "The network's own passes on a ready batch.",
    ),
    "speech_comparator": Benchmark(
        "speech told apart, against a Whisper that you bring",
        "Whisper's encoder, which sees thirty seconds whatever there is of them.",
    ),
    "embeddings": Benchmark(
        "kept embeddings read from near and far, and against making them anew",
        "A request for each pack and chunk, then 40 µs of processor a vector, 9 of them checksums.",
    ),
    "embedding": Benchmark(
        "a new picture decoded, embedded and measured, and the memory of many",
        "The pretrained network's float32 products, and the detectors of text and faces.",
    ),
    "thumbnails": Benchmark(
        "thumbnails fetched, checked, stored and recorded",
        "Decoding each once to see that it is a picture, and a file for each.",
    ),
    "planning": Benchmark(
        "finding what lacks a score, page by page",
        "A look-up by key for each video of the page, two more for each that lacks a score.",
    ),
    "api": Benchmark(
        "fifty readers of pages and the HTTP API at once",
        "Python itself: a page is made by one thread at a time, and the database waits for it.",
    ),
    "scoring": Benchmark(
        "two scoring workers against one, and a store far away",
        "The models' passes; reading, decoding and writing are done meanwhile.",
    ),
    "peers": Benchmark(
        "pictures scored end to end, against what others do with the same models",
        "The models' own passes, on both sides; what is left between them is decoding and moving.",
    ),
    "grading": Benchmark(
        "how soon a thumbnail's grade is there, in a new process",
        "Importing torch, then each model's answer to comparable pictures whose features are kept.",
    ),
    "scored_twice": Benchmark(
        "memory of scoring few and many pictures and segments, and a second run",
        "Chunks of 512 pictures or 8 clips: three read ahead, one computed, two being written.",
    ),
    "growth": Benchmark(
        "what is asked of the database among more and more videos and snapshots",
        "One more level of an index where pages go by keys; every row where it is added up.",
    ),
}
