"""A channel's RSS feed: its 15 newest uploads as Atom, with YouTube's own extensions."""

import re
from datetime import UTC, datetime
from xml.sax.saxutils import escape, quoteattr

from services.emulator.catalog import Catalog
from services.emulator.videos import Channel, Video

NEWEST = 15

# XML 1.0 has no way to write these, escaped or not.
_UNWRITABLE = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")

_PLAYER = 'type="application/x-shockwave-flash" width="640" height="390"'
_PICTURE = 'width="480" height="360"'
_HEAD = """\
<?xml version="1.0" encoding="UTF-8"?>
<feed xmlns:yt="http://www.youtube.com/xml/schemas/2015" \
xmlns:media="http://search.yahoo.com/mrss/" xmlns="http://www.w3.org/2005/Atom">
"""


def channel_feed(catalog: Catalog, channel: Channel, at: datetime) -> bytes:
    """Return the feed in UTF-8.

    The feed-level ``yt:channelId`` lacks its ``UC``, the entries' have it: so it is on YouTube.
    """
    bare = channel.channel_id.removeprefix("UC")
    feed_address = f"http://www.youtube.com/feeds/videos.xml?channel_id={channel.channel_id}"
    lines = [
        f' <link rel="self" href={quoteattr(feed_address)}/>',
        f" <id>yt:channel:{bare}</id>",
        f" <yt:channelId>{bare}</yt:channelId>",
        f" <title>{_text(channel.title)}</title>",
        f' <link rel="alternate" href={quoteattr(_channel_address(channel))}/>',
        *_author(channel, indent=" "),
        f" <published>{_time(channel.published_at)}</published>",
    ]
    for video in catalog.uploads(channel.channel_id, at)[:NEWEST]:
        lines += _entry(catalog, channel, video, at)
    return (_HEAD + "\n".join(lines) + "\n</feed>\n").encode()


def _entry(catalog: Catalog, channel: Channel, video: Video, at: datetime) -> list[str]:
    title, name = _text(video.title), video.video_id
    likes = catalog.likes(video, at) or 0
    thumbnail = catalog.thumbnail(video, at)
    updated = video.published_at if thumbnail is None else max(thumbnail.since, video.published_at)
    return [
        " <entry>",
        f"  <id>yt:video:{name}</id>",
        f"  <yt:videoId>{name}</yt:videoId>",
        f"  <yt:channelId>{channel.channel_id}</yt:channelId>",
        f"  <title>{title}</title>",
        f'  <link rel="alternate" href="https://www.youtube.com/watch?v={name}"/>',
        *_author(channel, indent="  "),
        f"  <published>{_time(video.published_at)}</published>",
        f"  <updated>{_time(updated)}</updated>",
        "  <media:group>",
        f"   <media:title>{title}</media:title>",
        f'   <media:content url="https://www.youtube.com/v/{name}?version=3" {_PLAYER}/>',
        f'   <media:thumbnail url="https://i1.ytimg.com/vi/{name}/hqdefault.jpg" {_PICTURE}/>',
        f"   <media:description>{_text(video.description)}</media:description>",
        "   <media:community>",
        f'    <media:starRating count="{likes}" average="5.00" min="1" max="5"/>',
        f'    <media:statistics views="{catalog.views(video, at)}"/>',
        "   </media:community>",
        "  </media:group>",
        " </entry>",
    ]


def _author(channel: Channel, *, indent: str) -> list[str]:
    return [
        f"{indent}<author>",
        f"{indent} <name>{_text(channel.title)}</name>",
        f"{indent} <uri>{_channel_address(channel)}</uri>",
        f"{indent}</author>",
    ]


def _channel_address(channel: Channel) -> str:
    return f"https://www.youtube.com/channel/{channel.channel_id}"


def _text(text: str) -> str:
    return escape(_UNWRITABLE.sub("", text))


def _time(time: datetime) -> str:
    return time.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S+00:00")
