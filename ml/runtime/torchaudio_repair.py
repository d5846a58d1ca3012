"""Make torchaudio usable beside a CPU build of torch.

The published torchaudio wheel carries a compiled part linked against CUDA. Beside CPU torch that
part cannot be loaded and ``import torchaudio`` fails, although everything this project uses
(MelSpectrogram, Resample, SpecAugment) is plain torch. Removing the compiled part mends it.
A CUDA install, where the compiled part loads, is left alone.

Run by ``make install``: ``python -m ml.runtime.torchaudio_repair``.
"""

import importlib.metadata
import importlib.util
import subprocess
import sys
from pathlib import Path

CUDA_MARKERS = ("libcudart", "libc10_cuda", "libtorch_cuda", "Could not load this library")


def torchaudio_import_error() -> str | None:
    """Return why ``import torchaudio`` fails, or None if it works or is not installed."""
    if importlib.util.find_spec("torchaudio") is None:
        return None
    # In a child: a half-imported extension cannot be unloaded again.
    probe = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", "import torchaudio"],
        capture_output=True,
        text=True,
        check=False,
    )
    return None if probe.returncode == 0 else probe.stderr.strip() or "unknown error"


def compiled_parts() -> list[Path]:
    """List torchaudio's compiled libraries that are present on disk."""
    distribution = importlib.metadata.distribution("torchaudio")
    root = Path(str(distribution.locate_file("torchaudio")))
    return sorted((root / "lib").glob("*.so"))


def cuda_build_of_torch() -> bool:
    """Tell whether the installed torch was built for CUDA (then nothing may be removed)."""
    probe = subprocess.run(
        [sys.executable, "-c", "import torch; print(torch.version.cuda is not None)"],
        capture_output=True,
        text=True,
        check=False,
    )
    return probe.stdout.strip() == "True"


def repair() -> str:
    """Mend torchaudio if it needs it.

    Returns:
        One line saying what was found and done.

    Raises:
        RuntimeError: torchaudio fails to import for a reason this repair does not cover.
    """
    error = torchaudio_import_error()
    if error is None:
        return "torchaudio: imports, nothing to do"
    linked_to_cuda = any(marker in error for marker in CUDA_MARKERS)
    if not linked_to_cuda or cuda_build_of_torch():
        raise RuntimeError(f"torchaudio does not import, and not for want of CUDA:\n{error}")
    removed = compiled_parts()
    for library in removed:
        library.unlink()
    error = torchaudio_import_error()
    if error is not None:
        raise RuntimeError(f"torchaudio does not import even without its CUDA part:\n{error}")
    return f"torchaudio: removed {len(removed)} libraries linked against CUDA; it imports now"


if __name__ == "__main__":
    print(repair())
