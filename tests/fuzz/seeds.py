"""Sound inputs of every door, made on the spot: what mutations begin with."""

import io
import json
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

A, B = "UC" + "a" * 22, "UC" + "b-_" * 7 + "9"
VIDEOS = ("video_aaaaa", "video-bbbbb", "vid_c_ccccc")


def pictures() -> list[bytes]:
    """Return small pictures in the formats that are taken, and some that are not."""
    generator = np.random.default_rng(1)
    small = generator.integers(0, 256, (12, 20, 3), dtype=np.uint8)
    drawn = Image.fromarray(small).resize((160, 96))
    exif = Image.Exif()
    exif[0x0112] = 6
    deep = Image.fromarray(np.asarray(drawn.convert("L")).astype(np.uint16) * 257)
    palette = drawn.convert("P")
    palette.info["transparency"] = 3
    others = {"save_all": True, "append_images": [drawn.rotate(90)]}
    made = [
        (drawn, "JPEG", {"quality": 60}),
        (drawn, "JPEG", {"progressive": True, "exif": exif}),
        (drawn.convert("L"), "JPEG", {}),
        (drawn.convert("CMYK"), "JPEG", {}),
        (drawn, "MPO", others),
        (drawn, "PNG", {"exif": exif}),
        (drawn.convert("RGBA"), "PNG", others),
        (deep, "PNG", {}),
        (palette, "PNG", {}),
        (drawn.convert("1"), "PNG", {}),
        (drawn, "WEBP", {"exif": exif}),
        (drawn.convert("RGBA"), "WEBP", {"lossless": True}),
        (drawn, "WEBP", others),
        (drawn, "GIF", others),
        (drawn, "AVIF", {}),
        (drawn, "BMP", {}),
        (drawn, "TIFF", {}),
    ]
    found = []
    for image, form, options in made:
        out = io.BytesIO()
        image.save(out, form, **options)
        found.append(out.getvalue())
    return found


def sounds() -> list[bytes]:
    """Return a second of sound in the formats that people have, with tags that are odd."""
    from tests.support import odd_sound, sound

    samples = sound.voiced(1.0)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        made = [
            sound.write_wav(folder / "a.wav", samples),
            sound.write_wav(folder / "two.wav", samples, channels=2),
            sound.encode(folder / "a.mp3", samples, "libmp3lame"),
            sound.encode(folder / "a.flac", samples, "flac"),
            sound.encode(folder / "a.ogg", samples, "libopus"),
            sound.encode(folder / "a.m4a", samples, "aac", container="mp4"),
            sound.encode(folder / "a.webm", samples, "libopus"),
            sound.encode(folder / "a.ts", samples, "aac"),
            odd_sound.with_stray_wav_tag(folder / "tag.wav", samples),
            odd_sound.with_stray_mp3_tag(folder / "tag.mp3", samples),
            odd_sound.with_cover_at_the_end(folder / "cover.mp3", samples, cover=300),
            odd_sound.with_holes(folder / "holes.wav", samples, holes=3),
            odd_sound.with_tracks(folder / "tracks.mkv", [samples, samples]),
        ]
        return [path.read_bytes() for path in made]


def marked_up() -> list[bytes]:
    """Return subscriptions as OPML and pages of bookmarks."""
    feed = "https://www.youtube.com/feeds/videos.xml?channel_id="
    opml = (
        '<?xml version="1.0" encoding="{}"?>\n<opml version="1.1"><body><outline text="Año">\n'
        f'<outline text="A & b" type="rss" xmlUrl="{feed}{A}"/>\n'
        f'<outline title="B" type="rss" xmlUrl="{feed}{B}" htmlUrl="x"/></outline></body></opml>\n'
    )
    bookmarks = (
        "<!DOCTYPE NETSCAPE-Bookmark-file-1>\n<TITLE>Bookmarks</TITLE>\n<DL><p>\n"
        f'<DT><A HREF="https://www.youtube.com/channel/{A}" ADD_DATE="1">A &amp; a</A>\n'
        '<DT><A HREF="https://www.youtube.com/@name/videos">B</A>\n</DL><p>\n'
    )
    page = (
        '<!DOCTYPE html><html lang="en"><head><title>YouTube</title><script>var ytInitialData = '
        f'{{"channelRenderer":{{"channelId":"{B}","title":"B"}}}};</script></head>'
        '<body><a href="/@name">Name</a><a href="/watch?v=x">v</a></body></html>'
    )
    return [
        opml.replace("{}", "UTF-8").encode(),
        opml.replace("{}", "UTF-16").encode("utf-16"),
        opml.replace("{}", "ISO-8859-1").encode("latin-1"),
        bookmarks.encode(),
        page.encode(),
    ]


def tables() -> list[bytes]:
    """Return lines and tables of channels."""
    a, b = f"http://www.youtube.com/channel/{A}", "https://www.youtube.com/@name"
    return [
        f"# mine\n{A}\r\n\r\n@name\n".encode(),
        f"Channel Id,Channel Url,Channel Title\n{A},{a},A\n{B},{b},B\n\n".encode(),
        f'sep=;\r\nName;Link\r\n"A; ""a""";{a}\r\nB;{b}\r\n'.encode("utf-8-sig"),
        f"Titel\tKanal\nÄ\t{A}\nÖ\t{B}\n".encode("utf-16"),
        f"Título;Canal\nAño;{A}\nÑu;{B}\n".encode("latin-1"),
        f'title,id\n"A\nb",{A}\n@two words,{B}\n'.encode(),
        f"„{A}”\n* [B]({b})\n<{a}>  # comment\n＠ｎａｍｅ\n".encode(),
    ]


def recorded() -> list[bytes]:
    """Return files of recorded videos, as an import reads them."""
    columns = (
        "video_id,channel_id,channel_title,title,published_at,collected_at,view_count,"
        "subscriber_count,thumbnail_file"
    )
    times = "2026-10-01T00:00:00Z,2026-11-01T00:00:00Z"
    rows = [
        f"{video},{channel},C,T {n},{times},{1_000 * n},12300,thumbnails/{name}"
        for n, (video, channel, name) in enumerate(zip(VIDEOS, (A, B, A), ("a.jpg", "", "b.png")))  # noqa: B905
    ]
    text = "\n".join([columns, *rows, ""])
    return [text.encode(), text.replace(",", ";").encode("utf-8-sig")]


def documents() -> list[bytes]:
    """Return subscriptions as programs keep them in JSON."""
    a, b = f"https://www.youtube.com/channel/{A}", f"https://www.youtube.com/channel/{B}"
    newpipe = {
        "app_version": "0.27.0",
        "subscriptions": [{"service_id": 0, "url": u, "name": "x"} for u in (a, b)],
    }
    freetube = {
        "_id": "allChannels",
        "subscriptions": [{"id": c, "name": "x", "thumbnail": None} for c in (A, B)],
    }
    takeout = [
        {"snippet": {"channelId": B, "resourceId": {"channelId": A}, "title": "x"}} for _ in "12"
    ]
    whole = [newpipe, freetube, takeout, {"Music": [A], "News": [B]}, [A, B]]
    lines = f'{{"channel_id": "{A}"}}\n{{"channelId": "{B}", "handle": "@name"}}\n'
    return [*(json.dumps(one).encode() for one in whole), lines.encode()]


def answers() -> list[bytes]:
    """Return answers of the Data API to what the ``api`` door asks."""
    channel = {
        "id": A,
        "snippet": {
            "title": "A",
            "customUrl": "@name",
            "publishedAt": "2010-01-02T03:04:05Z",
            "country": "DE",
            "defaultLanguage": "de",
        },
        "statistics": {
            "viewCount": "1234",
            "subscriberCount": "99",
            "hiddenSubscriberCount": False,
            "videoCount": "7",
        },
        "contentDetails": {"relatedPlaylists": {"uploads": "UU" + "a" * 22}},
    }
    video = {
        "id": VIDEOS[0],
        "snippet": {
            "channelId": A,
            "title": "T",
            "publishedAt": "2026-01-02T03:04:05.123Z",
            "categoryId": "22",
            "defaultAudioLanguage": "en",
            "liveBroadcastContent": "none",
        },
        "contentDetails": {"duration": "PT3M38S"},
        "status": {"privacyStatus": "public", "uploadStatus": "processed", "madeForKids": False},
        "statistics": {"viewCount": "1000", "likeCount": "10", "commentCount": "1"},
        "liveStreamingDetails": {"actualStartTime": "2026-01-02T03:04:05Z"},
    }
    upload = {"contentDetails": {"videoId": VIDEOS[1], "videoPublishedAt": "2026-01-02T03:04:05Z"}}
    error = {
        "error": {
            "code": 403,
            "message": "x",
            "errors": [{"message": "x", "domain": "youtube.quota", "reason": "quotaExceeded"}],
        }
    }
    bodies = [
        {"kind": "youtube#channelListResponse", "items": [channel, {**channel, "id": B}]},
        {"kind": "youtube#videoListResponse", "items": [video, {**video, "id": VIDEOS[2]}]},
        {
            "kind": "youtube#playlistItemListResponse",
            "items": [upload] * 3,
            "nextPageToken": "CAUQAA",
            "pageInfo": {"totalResults": 3},
        },
        {"kind": "youtube#channelListResponse"},
        error,
    ]
    return [json.dumps(body).encode() for body in bodies]


def feeds() -> list[bytes]:
    """Return a channel's feed."""
    entry = (
        f"<entry><id>yt:video:{{0}}</id><yt:videoId>{{0}}</yt:videoId><yt:channelId>{A}"
        "</yt:channelId><title>T &amp; t</title><published>2026-01-02T03:04:05+00:00</published>"
        "<updated>2026-01-03T03:04:05+00:00</updated></entry>\n"
    )
    text = (
        '<?xml version="1.0" encoding="UTF-8"?>\n<feed xmlns:yt="http://www.youtube.com/xml/schemas'
        '/2015" xmlns:media="http://search.yahoo.com/mrss/" xmlns="http://www.w3.org/2005/Atom">\n'
        f"<yt:channelId>{A[2:]}</yt:channelId><title>A</title>\n"
        f"{''.join(entry.format(video) for video in VIDEOS)}</feed>\n"
    )
    return [text.encode()]
