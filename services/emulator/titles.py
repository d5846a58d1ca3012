"""Titles for invented channels and videos, English and Chinese; nobody is named."""

import numpy as np

_TOPICS = (
    ("Bread", "a loaf of bread", "做面包"),
    ("Bicycle", "an old bicycle", "修自行车"),
    ("Garden", "a small garden", "小花园"),
    ("Guitar", "a guitar", "弹吉他"),
    ("Robot", "a robot", "做机器人"),
    ("Noodle", "a bowl of noodles", "煮面条"),
    ("Camera", "a cheap camera", "便宜相机"),
    ("Chess", "a chess opening", "下象棋"),
    ("Mountain", "a mountain trail", "爬山"),
    ("Paper", "a paper model", "折纸"),
    ("Tea", "a pot of tea", "泡茶"),
    ("Physics", "a physics puzzle", "物理题"),
)
_PLACES = ("Corner", "Lab", "Workshop", "Diary", "Channel", "Studio", "Kitchen", "Club")
_FRAMES = (
    "How I finally fixed {}",
    "{} in ten minutes",
    "I tried {} for 30 days",
    "The truth about {}",
    "What nobody tells you about {}",
    "{}: beginner & expert compared",
    "Why {} is harder than it looks",
    "Is {} worth it?",
    "My biggest mistake with {}",
    "{} — part {}",
)
_CHINESE_FRAMES = ("十分钟学会{}", "我试了三十天{}", "关于{}的真相", "{}第{}集", "{}值不值得")


def channel_title(topic: int, rng: np.random.Generator) -> str:
    """Return a channel's title for ``topic`` (any integer ≥ 0)."""
    return f"{_TOPICS[topic % len(_TOPICS)][0]} {rng.choice(_PLACES)}"


def video_title(topic: int, rng: np.random.Generator) -> str:
    """Return a video's title; one topic in six is told in Chinese."""
    _, english, chinese = _TOPICS[topic % len(_TOPICS)]
    part = int(rng.integers(2, 40))
    if topic % 6 == 0:
        return str(rng.choice(_CHINESE_FRAMES)).format(chinese, part)
    title = str(rng.choice(_FRAMES)).format(english, part)
    return title[0].upper() + title[1:]
