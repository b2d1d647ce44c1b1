"""Published weights that the node knows: where they come from, and how they get into the store.

`manifest` lists them, `hub` downloads, `ct_fm` and `node.archives` read the files, `intake` checks and keeps.
"""

from node.published.intake import add, pull, verify
from node.published.manifest import PUBLISHED, Published, known, mend

__all__ = ["PUBLISHED", "Published", "add", "known", "mend", "pull", "verify"]
