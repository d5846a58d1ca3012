"""The beginning of an audio file, without encoding it again: what is kept of a long video."""

from pathlib import Path


def beginning(source: Path, target: Path, *, seconds: float) -> None:
    """Write the first seconds of a file's audio into a Matroska file, packet by packet.

    The same source gives the same bytes: no date and no random id goes into it.

    Args:
        source: Any file that ``ml.audio.probe`` accepts; one whose end is missing will do.
        target: The file to write.
        seconds: How much to keep, rounded up to a whole packet.

    Raises:
        PermanentError: Nothing of it could be copied (``notAudio``), there is nothing
            (``zeroSeconds``), or its codec cannot be kept so (``decoderFailed``).
    """
    import av  # noqa: PLC0415 - an extra

    from ml.audio.source import gave_up, opened  # noqa: PLC0415 - needs it
    from services.errors import PermanentError  # noqa: PLC0415

    container, stream = opened(source)
    with (
        container,
        av.open(
            str(target), "w", format="matroska", container_options={"fflags": "+bitexact"}
        ) as kept,
    ):
        try:
            copy = kept.add_stream_from_template(stream)
        except Exception as error:
            raise gave_up(source, error) from error
        first: int | None = None
        try:
            for packet in container.demux(stream):
                if packet.pts is None or packet.dts is None:
                    continue  # the end of the stream
                first = packet.pts if first is None else first
                assert packet.time_base is not None
                if float((packet.pts - first) * packet.time_base) >= seconds:
                    break
                packet.pts, packet.dts = packet.pts - first, packet.dts - first
                packet.stream = copy
                kept.mux(packet)
        except av.FFmpegError as error:
            if first is None:
                raise PermanentError(
                    "nothing of the audio can be read", reason="notAudio"
                ) from error
        except (ValueError, TypeError, ArithmeticError, RuntimeError) as error:
            raise gave_up(source, error) from error
        if first is None:
            raise PermanentError("its audio lasts 0 seconds", reason="zeroSeconds")
