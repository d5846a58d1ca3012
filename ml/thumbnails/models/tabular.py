"""The rungs that see no picture: what is known of the video and its channel."""

from typing import ClassVar

from ml.thumbnails.models.constant import ConstantRung
from ml.thumbnails.models.cross_fitted import RegressedRung
from ml.thumbnails.models.rung import RungSpec
from ml.thumbnails.stacking.regression import (
    AGE_FORMAT,
    HISTORY,
    SUBSCRIBERS,
    SUBSCRIBERS_AGE,
    Column,
)


class AgeFormatRung(RegressedRung):
    """The video itself: how old, how long, of which format."""

    spec: ClassVar[RungSpec] = RungSpec(
        name="age+format",
        knows="how old and long the video is, and its format",
        baseline=ConstantRung.spec.name,
    )
    columns: ClassVar[tuple[Column, ...]] = AGE_FORMAT


class SubscribersRung(RegressedRung):
    """The baseline: what the channel's size alone says about a video's views."""

    spec: ClassVar[RungSpec] = RungSpec(
        name="subscribers",
        knows="how many subscribers the channel has",
        baseline=ConstantRung.spec.name,
    )
    columns: ClassVar[tuple[Column, ...]] = SUBSCRIBERS


class SubscribersAgeRung(RegressedRung):
    """The strong baseline: the channel's size and the video's age, length and format."""

    spec: ClassVar[RungSpec] = RungSpec(
        name="subscribers+age",
        knows="subscribers, age, length and format",
        baseline=SubscribersRung.spec.name,
    )
    columns: ClassVar[tuple[Column, ...]] = SUBSCRIBERS_AGE


class HistoryRung(RegressedRung):
    """The strong baseline and what the channel's earlier videos got."""

    spec: ClassVar[RungSpec] = RungSpec(
        name="+history",
        knows="that, and what the channel’s earlier videos got",
        baseline=SubscribersAgeRung.spec.name,
    )
    columns: ClassVar[tuple[Column, ...]] = (*SUBSCRIBERS_AGE, *HISTORY)
