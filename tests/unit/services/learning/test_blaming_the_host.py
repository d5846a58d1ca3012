"""What is wrong with a machine is told from what is wrong with the work."""

import errno

import pytest

from ml.errors import LearningError
from services.errors import HostError, InfrastructureError, PermanentError, TransientError
from services.learning.errors import blaming_the_host, translate_errors

OF_THE_HOST = {
    "backboneWeightsMissing": LearningError("no weights", reason="backboneWeightsMissing"),
    "textDetectorMissing": LearningError("no rapidocr", reason="textDetectorMissing"),
    "diskFull": OSError(errno.ENOSPC, "no space left on device"),
    "diskUnusable": OSError(errno.EROFS, "read-only file system"),
    "packageMissing": ImportError("no module named onnxruntime"),
}
OF_THE_WORK = [
    PermanentError("it is not there", reason="objectMissing"),
    TransientError("reset by peer", reason="storeFailed"),
    OSError(errno.ECONNRESET, "reset by peer"),
    ValueError("a defect"),
]


@pytest.mark.parametrize(("reason", "error"), OF_THE_HOST.items())
def test_what_a_machine_lacks_is_its_own(reason, error, tmp_path):
    with pytest.raises(HostError) as caught, blaming_the_host(), translate_errors(tmp_path):
        raise error
    assert caught.value.reason == reason
    assert isinstance(caught.value, InfrastructureError), "it counts against nothing"


@pytest.mark.parametrize("error", OF_THE_WORK)
def test_what_is_wrong_with_the_work_stays_so(error):
    with pytest.raises(type(error)) as caught, blaming_the_host():
        raise error
    assert caught.value is error
