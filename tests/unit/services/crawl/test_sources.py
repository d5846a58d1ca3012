"""Lists of channels in the shapes that people and programs write them."""

import json
import random
import time
from contextlib import suppress
from pathlib import Path

import pytest

from services.crawl.sources import read_channels
from services.errors import UsageError
from services.naming import parse_channel
from services.youtube.identifiers import ChannelReference, ReferenceKind

CASES = Path(__file__).resolve().parents[4].parent / "shared" / "cases"
A, B = "UC" + "a" * 22, "UC" + "b-_" * 7 + "9"
FEED = "https://www.youtube.com/feeds/videos.xml"
URL_A, URL_B = f"http://www.youtube.com/channel/{A}", f"https://www.youtube.com/channel/{B}"
OPML = f"""<?xml version="1.0" encoding="%s"?>
<opml version="1.1"><body><outline text="Año" title="Año">
<outline text="Año & mehr" type="rss" xmlUrl="{FEED}?channel_id={A}" />
<outline text="B" type="rss" xmlUrl="{FEED}?channel_id={B}" htmlUrl="x"/>
</outline></body></opml>
"""
NEWPIPE = {
    "app_version": "0.27.0",
    "app_version_int": 1000,
    "subscriptions": [
        {"service_id": 0, "url": URL_A, "name": "A"},
        {"service_id": 0, "url": URL_B, "name": "B"},
    ],
}
FREETUBE = {
    "_id": "allChannels",
    "name": "All",
    "bgColor": "#000000",
    "subscriptions": [
        {"id": A, "name": "A", "thumbnail": None},
        {"id": B, "name": "B", "thumbnail": "https://yt3.ggpht.com/x"},
    ],
}
TAKEOUT = [
    {
        "id": "subscription",
        "snippet": {"channelId": "UC" + "o" * 22, "resourceId": {"channelId": c}, "title": "x"},
    }
    for c in (A, B)
]
INVIDIOUS = {"subscriptions": [A, B], "watch_history": ["dQw4w9WgXcQ"], "preferences": {"a": 1}}
BOOKMARKS = f"""<!DOCTYPE NETSCAPE-Bookmark-file-1>
<!-- This is an automatically generated file. -->
<META HTTP-EQUIV="Content-Type" CONTENT="text/html; charset=UTF-8">
<TITLE>Bookmarks</TITLE>
<DL><p>
    <DT><H3 ADD_DATE="1700000000">Kanäle</H3>
    <DL><p>
        <DT><A HREF="https://example.org/?a=1&amp;b=2" ADD_DATE="1">another site</A>
        <DT><A HREF="https://www.youtube.com/watch?v=dQw4w9WgXcQ" ICON="data:x">a video</A>
        <DT><A HREF="{URL_A}" ADD_DATE="1" ICON="data:image/png;base64,AAAA">A &amp; a</A>
        <DT><A ADD_DATE="1" HREF='{URL_B}/videos'>B</A>
        <DT><A HREF="https://www.youtube.com/premium">YouTube Premium</A>
    </DL><p>
</DL><p>
"""
DRAWN = f"""<!DOCTYPE html><html style="font-size: 10px"><head><title>YouTube</title></head><body>
<a id="logo" href="https://www.youtube.com/" title="Home"></a><a href="/feed/channels">All</a>
<a href="https://www.youtube.com/gaming">Gaming</a><a href="https://www.youtube.com/t/terms">T</a>
<ytd-channel-renderer><a id="avatar" class=x href=/channel/{A} tabindex=-1></a>
<a class="channel-link" href="/channel/{A}">A</a></ytd-channel-renderer>
<a class="channel-link" href="{URL_B}">B</a></body></html>
"""
NOT_DRAWN = (
    "<!DOCTYPE html><html><head><script>var ytInitialData = {"
    f'"a":[{{"channelRenderer":{{"channelId":"{A}","title":{{"simpleText":"A"}}}}}},'
    f'{{"channelRenderer": {{ "channelId": "{B}"}}}}]}};</script></head></html>'
)
ARCHIVE = (
    "From: <Saved by Blink>\r\nSnapshot-Content-Location: https://www.youtube.com/feed/channels\r\n"
    "Subject: YouTube\r\nMIME-Version: 1.0\r\nContent-Type: multipart/related;\r\n"
    '\ttype="text/html";\r\n\tboundary="----x"\r\n\r\n\r\n------x\r\nContent-Type: text/html\r\n'
    "Content-Transfer-Encoding: quoted-printable\r\n\r\n<!DOCTYPE html><html><body><a href=3D"
    f'"/channel/{A}">A</a><a href=3D"/cha=\r\nnnel/{B}">B</a></body></html>\r\n------x--\r\n'
)
WIDE = str.maketrans({n: n + 0xFEE0 for n in range(0x21, 0x7F)})

SHAPES: dict[str, bytes] = {
    "lines": f"# mine\n{A}\r\n\r\n@b\n".replace("@b", B).encode(),
    "OPML": OPML.replace("%s", "UTF-8").encode(),
    "OPML in UTF-16": OPML.replace("%s", "UTF-16").encode("utf-16"),
    "OPML in UTF-16 without a mark": OPML.replace("%s", "utf-16").encode("utf-16-le"),
    "OPML in Latin-1": OPML.replace("%s", "ISO-8859-1").encode("latin-1"),
    "OPML in one line after a mark": OPML.replace("%s", "UTF-8")
    .replace("\n", "")
    .encode("utf-8-sig"),
    "table in Latin-1": f"Título;Canal\nAño;{A}\nÑu;{B}\n".encode("latin-1"),
    "table in UTF-16": f"Titel\tKanal\nÄ\t{A}\nÖ\t{B}\n".encode("utf-16"),
    "table of Excel's": f"sep=;\r\nName;Link\r\nA;{URL_A}\r\nB;{URL_B}\r\n".encode("utf-8-sig"),
    "table of Excel's with tabs": f'"sep=\t"\nName\tLink\nA\t{A}\nB\t{B}\n'.encode(),
    "header channelId": f"channelId\n{A}\n{B}\n".encode(),
    "header Name,Link": f"Name,Link\nA,{URL_A}\nB,{URL_B}\n".encode(),
    "header of Takeout": f"Channel Id,Channel Url,Channel Title\n{A},{URL_A},A\n{B},{URL_B},B\n\n"
    "".encode(),
    "header in German": f"Kanal-ID,Kanal-URL,Kanaltitel\n{A},{URL_A},A\n{B},{URL_B},B\n".encode(),
    "header in Chinese": f"频道 ID,频道标题\n{A},甲\n{B},乙\n".encode(),
    "header nobody foresaw": f"Wer,Wo\nA,{URL_A}\nB,{URL_B}\n".encode(),
    "no header": f"A;{URL_A};12\nB;{URL_B};13\n".encode(),
    "titles with delimiters": f'title;channel\n"A, b; ""c""";{A}\nd, e, f, g;{B}\n'.encode(),
    "titles that begin with a hash": f"title,id\n#1 Music,{A}\n# {A},\nx,{B}\n".encode(),
    "titles that look like handles": f"title,id\n@nobody,{A}\n@nobody,{B}\n".encode(),
    "a quote that never ends": f'title,id\n"12 inch,{A}\nx,{B}\n'.encode(),
    "a link that lacks": f"title,link,id\nA,{URL_A},{A}\nB,,{B}\nx,{URL_A},\n".encode().replace(
        f"x,{URL_A},\n".encode(), b""
    ),
    "rows broken in quotes": f'title,id\n"A\nb",{A}\nB,{B}\n'.encode(),
    "quotes": f"\"{URL_A}\"\n'{B}'\n".encode(),
    "typographic quotes": f"„{A}”\n«{B}»\n".encode(),
    "autolinks and lists of Markdown": f"<{URL_A}>\n* [B]({URL_B})\n".encode(),
    "comments behind": f"{URL_A} # the first\n{B}   // the other\n".encode(),
    "titles behind": f"{URL_A} The first\n{B} - the other\n".encode(),
    "invisible characters": f"\ufeff{A}\u200b\n\ufeff\u00a0{URL_B}\u00a0\u2060\n".encode(),
    "old line ends": f"{A}\r{B}\r".encode(),
    "NewPipe": json.dumps(NEWPIPE).encode(),
    "NewPipe, indented and marked": json.dumps(NEWPIPE, indent=2).encode("utf-8-sig"),
    "FreeTube": json.dumps(FREETUBE).encode() + b"\n",
    "FreeTube, a profile a line": b"\n".join(
        json.dumps({**FREETUBE, "subscriptions": [one]}).encode()
        for one in FREETUBE["subscriptions"]
    ),
    "Invidious": json.dumps(INVIDIOUS).encode(),
    "Takeout of old": json.dumps(TAKEOUT).encode(),
    "an array of ids": json.dumps([A, B], indent=0).encode(),
    "lines of JSON": f'{{"channel_id": "{A}"}}\n{{"channelId": "{B}"}}\n'.encode(),
    "bookmarks": BOOKMARKS.encode(),
    "bookmarks of old, marked": BOOKMARKS.replace("<!DOCTYPE", "<!doctype").encode("utf-8-sig"),
    "a page of YouTube's list": DRAWN.encode(),
    "a page of YouTube's list, saved undrawn": NOT_DRAWN.encode(),
    "an archive of a page": ARCHIVE.encode(),
    "a list in HTML": f"<ul>\n<li><a href={URL_A}>A</a>\n<li><a href='{URL_B}'>".encode(),
    "full-width characters": f"{A.translate(WIDE)}\n{URL_B.translate(WIDE)}\n".encode(),
    "full-width cells": f"名前，x,{A.translate(WIDE)}\n李，柒,{B.translate(WIDE)}\n".encode(),
    "groups of PocketTube": json.dumps({"Music": [A], "News": [B]}).encode(),
}


def channels(content: bytes) -> list[ChannelReference]:
    return [parse_channel(entry.text) for entry in read_channels(content, "list")]


@pytest.mark.parametrize("shape", SHAPES)
def test_what_people_export_is_read(shape: str):
    ids = [ChannelReference(ReferenceKind.ID, channel) for channel in (A, B)]
    assert channels(SHAPES[shape]) == ids


@pytest.mark.parametrize(
    "name",
    [
        *("newpipe.json", "freetube.db", "takeout-de.csv", "name-and-link.csv"),
        *("quoted-single.txt", "same-twice.txt", "opml-utf16.opml"),
    ],
)
def test_files_of_others_are_read(name: str):
    file = CASES / name
    if not file.is_file():
        pytest.skip("the files of others are not here")
    assert channels(file.read_bytes())


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (f"Google,note\n{A},x\n@a/b,y\n", [(2, A), (3, "@a/b")]),
        (f"1. @one\n 2) {A} (mine)\n- @three # good\n• “@four”\n* youtube.com/@five\n",
         [(1, "@one"), (2, A), (3, "@three"), (4, "@four"), (5, "youtube.com/@five")]),
        ("  - '@one'\n  - @two words\n", [(1, "@one"), (2, "- @two words")]),
        (f"{A}\nGoogle\n@two words\n", [(1, A), (2, "Google"), (3, "@two words")]),
        ("UCtooshortforanid,x\n@b,y\n", [(1, "UCtooshortforanid"), (2, "@b")]),
        (f"a;b\n{A};x\n;\n\nonly title;\n", [(2, A), (5, "only title")]),
        ('{"subscriptions": [{"service_id": 1, "url": "https://soundcloud.com/x"}]}',
         [(1, "https://soundcloud.com/x")]),
        (f'[\n"{A}",\n7,\n{{"name": "x"}}\n]', [(2, A), (3, "7"), (4, '{"name": "x"}')]),
        (f'{{"id": "{A}"}}\nnonsense\n', [(1, A), (2, "nonsense")]),
        ('<opml><outline type="rss" title="lost"/></opml>', [(1, "lost")]),
        ("@a\ufffd\n", [(1, "@a\ufffd")]),
    ],
)  # fmt: skip
def test_what_names_no_channel_stays_as_it_is_written(content, expected):
    found = read_channels(content.encode(), "list")
    assert [(entry.line, entry.text) for entry in found] == expected


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("@a, @b, @c\n", [(1, "@a"), (1, "@b"), (1, "@c")]),
        (f"@a; {A}; {B}; \n@d\n", [(1, "@a"), (1, A), (1, B), (2, "@d")]),
        ("@a @b\n@c\n", [(1, "@a"), (1, "@b"), (2, "@c")]),
        (f"@a, @b\n{A}; {B}\n", [(1, "@a"), (1, "@b"), (2, A), (2, B)]),
        (f"{A} {B}\n", [(1, A), (1, B)]),
        ("@a,@b,@b c,a title\n", [(1, "@a"), (1, "@b"), (1, "@b c")]),
        # One channel, named in several ways.
        (f"{A},@a,{URL_A}\n{B},@b,{URL_B}\n", [(1, A), (2, B)]),
        ("@a,https://www.youtube.com/@A\n", [(1, "https://www.youtube.com/@A")]),
        # A header says which column is meant.
        (f"channel,seen on\n{A},{B}\n", [(2, A)]),
    ],
)
def test_several_channels_on_one_line_are_all_taken(content, expected):
    found = read_channels(content.encode(), "list")
    assert [(entry.line, entry.text) for entry in found] == expected


def test_a_broken_character_costs_its_line_alone():
    content = "@떵개떵\n@bad\udcff\n@हिन्दी\n".encode("utf-8", "surrogateescape")
    found = [entry.text for entry in read_channels(content, "list")]
    assert (found[0], found[2]) == ("@떵개떵", "@हिन्दी")


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b'{"subscriptions": [', "begins like JSON"),
        (b'{"settings": {}}', "holds no channels"),
        (b"[" * 100_000, "begins like JSON"),
        (b'{"a":' * 100_000, "begins like JSON"),
        (b"<!DOCTYPE html><html><a href='https://example.org/@a'>x</a>", "links to no channel"),
        (b"<?xml version='" + b"1" * 250 + b"' encoding='null'?><opml/>", "unknown encoding"),
        (b"\xff\xd8\xff\xe0\x01JFIF\x02\x03", "not text"),
        (b"PK\3\4\x14\0\0\0Takeout/YouTube/Abos.csv", "unpack it"),
        (b"\x1f\x8b\x08\0\0\0\0\0", "unpack it"),
        (b"SQLite format 3\0\x10\0\1\1", "have its program export"),
        (b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n", "is a PDF"),
    ],
)
def test_a_file_that_holds_no_list_is_refused_in_one_line(content, why):
    with pytest.raises(UsageError, match=why) as caught:
        read_channels(content, "list")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("unit", ['"', "<", "<a", "<a href=", "<!--", "&", "[", "@", "a - "])
@pytest.mark.parametrize("start", ["", "<!doctype html>", "<opml>"])
def test_what_is_never_closed_takes_no_longer_than_its_length(start, unit):
    began = time.process_time()
    for _ in range(2):
        with suppress(UsageError):
            read_channels((start + unit * (400_000 // len(unit))).encode(), "list")
    assert time.process_time() - began < 5


@pytest.mark.parametrize(
    ("typed", "name"),
    [
        ("＠ｎａｍｅ", "name"),
        ("＠name", "name"),
        ("﹫name", "name"),
        ("@𝗻𝗮𝗺𝗲", "name"),
        ("@ⓝⓐⓜⓔ", "name"),
        ("ｈｔｔｐｓ：／／ｗｗｗ．ｙｏｕｔｕｂｅ．ｃｏｍ／＠ｎａｍｅ", "name"),
        ("＠ｶﾞﾝﾀﾞﾑ", "ガンダム"),
        ("＠名前＿１", "名前_1"),
        ("@ทำอาหาร", "ทำอาหาร"),  # NFKC would take the ำ apart
        ("@ﻣﺼﺮ", "ﻣﺼﺮ"),
    ],
)
def test_names_in_another_dress_are_read_as_what_they_stand_for(typed, name):
    assert parse_channel(typed) == ChannelReference(ReferenceKind.HANDLE, name)
    assert channels(f"{typed}\n{A}\n".encode()) == [
        ChannelReference(ReferenceKind.HANDLE, name),
        ChannelReference(ReferenceKind.ID, A),
    ]


def test_a_page_names_its_lines_and_old_custom_names_but_youtubes_own_pages():
    page = BOOKMARKS.replace(URL_A, "https://www.youtube.com/OldName")
    assert [(entry.line, entry.text) for entry in read_channels(page.encode(), "list")] == [
        (10, "https://www.youtube.com/OldName"),
        (11, f"{URL_B}/videos"),
    ]


def test_mutated_lists_are_read_or_refused_and_no_line_is_lost():
    chance = random.Random(7)
    shapes = list(SHAPES.values())
    pieces = [
        b"\x00",
        b"\xff",
        b'"',
        b"\n",
        b",",
        b";",
        b"<",
        b"&",
        b"{",
        b"]",
        b"\\",
        b"\xef\xbb\xbf",
    ]
    read = refused = 0
    for _ in range(2_000):
        content = bytearray(chance.choice(shapes))
        for _ in range(chance.randint(1, 4)):
            at = chance.randrange(len(content) + 1)
            if chance.random() < 0.5:
                content[at:at] = chance.choice(pieces)
            elif chance.random() < 0.5:
                del content[at : at + chance.randint(1, 30)]
            else:
                other = chance.choice(shapes)
                content[at:at] = other[chance.randrange(len(other)) :]
        try:
            found = read_channels(bytes(content), "list")
        except UsageError as error:
            assert str(error).startswith("list cannot be used")  # noqa: PT017 - one of two good ends
            refused += 1
            continue
        read += 1
        for entry in found:
            assert entry.line >= 1
            try:
                parse_channel(entry.text)
            except UsageError as error:
                assert error.hint  # noqa: PT017 - likewise
    assert read > 500
    assert refused > 100


def test_no_line_of_mutated_lines_is_lost():
    chance = random.Random(8)
    said = [A, B, "@handle", URL_A, "nonsense", f'"{A}', "a;b", f"x,{B}", "@a b"]
    for _ in range(500):
        lines = chance.choices(said, k=chance.randint(2, 12))
        found = read_channels("\n".join([A, *lines]).encode(), "list")
        assert [entry.line for entry in found] == list(range(1, len(lines) + 2)), lines
