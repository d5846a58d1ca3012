"""The one door to onnxruntime, which stays silent about who uses it.

Since 1.29 the official builds collect telemetry from the moment they are imported: a device id and
a database in the user's cache folder, and uploads. ``ORT_DISABLE_TELEMETRY=1`` before the import
is the documented full opt-out (``Privacy.md`` in the wheel): no id, no file, no upload for the
life of the process. The functions of its API come too late for that.
"""

import os
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import onnxruntime

OPT_OUT = "ORT_DISABLE_TELEMETRY"


def load_onnxruntime() -> ModuleType:
    """Import onnxruntime with its telemetry off; whoever set the variable keeps his choice.

    Raises:
        ImportError: It is not installed.
    """
    os.environ.setdefault(OPT_OUT, "1")
    return import_module("onnxruntime")


def one_thread_session(weights: Path | bytes) -> "onnxruntime.InferenceSession":
    """Load a network, from a file or its bytes, for the CPU; its operations use one thread.

    Raises:
        ImportError: onnxruntime is not installed.
    """
    runtime = load_onnxruntime()
    options = runtime.SessionOptions()
    options.inter_op_num_threads = options.intra_op_num_threads = 1
    options.log_severity_level = 3  # it warns of initializers that exporters leave over
    return runtime.InferenceSession(
        weights, sess_options=options, providers=["CPUExecutionProvider"]
    )
