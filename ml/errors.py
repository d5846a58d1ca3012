"""What can go wrong in learning. Services translate it into their own kinds of error."""


class LearningError(Exception):
    """Data or settings that nothing honest can be learned from, or a damaged artefact.

    Attributes:
        reason: A short stable word such as ``tooFewChannels``, to count and retry by.
    """

    def __init__(self, message: str, *, reason: str) -> None:
        super().__init__(message)
        self.reason = reason


class LearningCancelledError(LearningError):
    """The caller asked training to stop; nothing was written."""

    def __init__(self, message: str = "training was cancelled") -> None:
        super().__init__(message, reason="cancelled")
