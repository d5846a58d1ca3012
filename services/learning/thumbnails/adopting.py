"""What earlier releases kept of image features in the home: taken over once, and gone then.

The first release with packs has this; a later one, by which nobody has such a folder any more, does
without.
"""

import fcntl
import shutil

import structlog

from ml.thumbnails.backbones.local import LocalVectors
from services.context import Context
from services.learning.artifacts import image_features_folder
from services.packs import Packs

log = structlog.get_logger()

_PAGE = 1_000


def adopt(context: Context, packs: Packs) -> None:
    """Put the features that lie in the home into packs and remove them there.

    A process that is killed leaves the rest to the next; one that finds another at it goes on.

    Raises:
        TransientError: The store or the database did not answer.
    """
    folder = image_features_folder(context)
    old = LocalVectors(folder)
    if not old.recipes():
        return
    with (folder / "adopting.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return
        for recipe, width in old.recipes():
            taken = _adopt(old, packs, recipe, width)
            log.info("embeddings.adopted", recipe=recipe, pictures=taken)
            shutil.rmtree(folder / recipe)


def _adopt(old: LocalVectors, packs: Packs, recipe: str, width: int) -> int:
    names, taken = old.names(recipe), 0
    for start in range(0, len(names), _PAGE):
        some = names[start : start + _PAGE]
        known = {name for found, _ in packs.get(recipe, some, width) for name in found}
        lacking = [name for name in some if name not in known]
        for found, vectors in old.get(recipe, lacking, width):
            packs.put(recipe, found, vectors)
            taken += len(found)
    return taken
