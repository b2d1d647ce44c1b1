"""The weights that others have published, or that a person brings: what, from where, under which licence."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from algorithms.adapters.nnunet_plan import CONFIGURATIONS, Configuration
from algorithms.ct_fm import options
from algorithms.fahr_face import published_keys
from algorithms.weights import Shapes
from node import archives
from node.errors import ConfigurationError
from node.published import cerebrum, ct_fm

_NOTICE: Final = "Research use only. Not for diagnosis."


@dataclass(frozen=True)
class Archive:
    """A zip archive that a person downloads.

    Attributes:
        file: its name.
        page: where it is.
        layout: names in it that are wanted.
        read: the tensors and the configuration in an unpacked archive; None if it holds others only.
    """

    file: str
    page: str
    layout: re.Pattern[str]
    read: Callable[[Path], archives.Content | None]

    @property
    def facts(self) -> dict[str, str]:
        """What is recorded of it beside the tensors."""
        return {"source": self.page, "file": self.file}

    def way(self, name: str) -> str:
        """How a person gets weights of this name."""
        return f"{self.file} at {self.page}; then: ainode weights add {name} {self.file}"


@dataclass(frozen=True)
class Repository:
    """A repository of the Hugging Face hub.

    Attributes:
        name: owner and repository.
        revision: a commit, or a branch; which commit it was is recorded at the download.
        file: in it.
        sha256: of the file; None where no digest is documented: it is then recorded at the first download.
    """

    name: str
    revision: str = "main"
    file: str = "model.safetensors"
    sha256: str | None = None

    @property
    def facts(self) -> dict[str, str]:
        """What is recorded of it beside the tensors."""
        return {"source": f"https://huggingface.co/{self.name}", "file": self.file, "revision": self.revision}

    def way(self, name: str) -> str:
        """How a person gets weights of this name."""
        return f"ainode weights pull {name}"


@dataclass(frozen=True)
class Download:
    """A single file that a person downloads.

    Attributes:
        file: its name.
        page: where it is.
    """

    file: str
    page: str

    @property
    def facts(self) -> dict[str, str]:
        """What is recorded of it beside the tensors."""
        return {"source": self.page, "file": self.file}

    def way(self, name: str) -> str:
        """How a person gets weights of this name."""
        return f"{self.file} at {self.page}; then: ainode weights add {name} {self.file}"


@dataclass(frozen=True)
class Own:
    """Weights that nobody has published: the user's own."""

    trained: str
    """How they come about."""

    @property
    def facts(self) -> dict[str, str]:
        """What is recorded of it beside the tensors."""
        return {"source": "added by the user"}

    def way(self, name: str) -> str:
        """How a person gets weights of this name."""
        return f"not published: {self.trained}; then: ainode weights add {name} FILE"


def _as_it_is(tensors: archives.Tensors, config: Mapping[str, Any]) -> archives.Content:
    return tensors, dict(config)


@dataclass(frozen=True)
class Published:
    """Weights by the name that they have in the store.

    Attributes:
        name: in the store.
        algorithm: in the catalogue.
        source: where they come from.
        licence: what is known of it.
        shapes: the tensors that a configuration asks for.
        fitted: tensors of a single file, and what is said beside it, as the algorithm takes them.
        extra_tensors: whether the published file holds more than the network, as its authors load it.
    """

    name: str
    algorithm: str
    source: Archive | Repository | Download | Own
    licence: str
    shapes: Callable[[Mapping[str, Any]], Shapes]
    fitted: Callable[[archives.Tensors, Mapping[str, Any]], archives.Content] = _as_it_is
    extra_tensors: bool = False
    intended_use: str = _NOTICE

    @property
    def way(self) -> str:
        """How a person gets them."""
        return self.source.way(self.name)

    @property
    def sha256(self) -> str | None:
        """Of the file, where it is documented."""
        return self.source.sha256 if isinstance(self.source, Repository) else None

    @property
    def card(self) -> dict[str, str]:
        """What is recorded beside the tensors."""
        return {
            **self.source.facts,
            "licence": self.licence,
            "algorithm": self.algorithm,
            "intended use": self.intended_use,
        }


def known(name: str) -> Published:
    """The weights of this name.

    Raises:
        ConfigurationError: the node does not know them.
    """
    if name not in PUBLISHED:
        raise ConfigurationError(f"there are no published weights {name!r}; there are {', '.join(PUBLISHED)}")
    return PUBLISHED[name]


def mend(name: str) -> str:
    """What a person does about weights that are not here, or were changed."""
    match PUBLISHED.get(name):
        case None:
            return "they come with the program: install it again"
        case Published(source=Repository()):
            return f"get them with: ainode weights pull {name}"
        case _:
            return f"add them with: ainode weights add {name} FILE"


def _segthor(name: str, configuration: Configuration) -> Published:
    return Published(
        name=name,
        algorithm="chest-ct-annotation",
        source=Archive(
            file="Task055_SegTHOR.zip",
            page="https://zenodo.org/records/4003545",
            layout=re.compile(
                rf"(?:.*/)?(?:{'|'.join(CONFIGURATIONS)})/Task055_SegTHOR/[^/]+/"
                r"(?:plans\.pkl|postprocessing\.json|fold_\d/model_final_checkpoint\.model)"
            ),
            read=partial(archives.nnunet, configuration),
        ),
        licence="see the record; Isensee et al., Nature Methods 2021",
        shapes=archives.nnunet_shapes,
    )


_BODY_PART: Final = Published(
    name="bpr",
    algorithm="body-part-regression",
    source=Archive(
        file="public_bpr_model.zip",
        page="https://zenodo.org/records/5113483",
        layout=re.compile(r"(?:.*/)?(?:model\.pt|inference-settings\.json)"),
        read=archives.bpr,
    ),
    licence="see the record; code Apache-2.0",
    shapes=archives.bpr_shapes,
    extra_tensors=True,
)

_CT_FM: Final = (
    Published(
        name=options.ENCODER["published"],
        algorithm="ct-retrieval",
        source=Repository("project-lighter/ct_fm_feature_extractor"),
        licence="Apache-2.0",
        shapes=ct_fm.encoder_shapes,
        fitted=partial(ct_fm.fitted, wanted=ct_fm.encoder_shapes, usual=ct_fm.ENCODER),
    ),
    Published(
        name=options.WHOLE_BODY,
        algorithm="ct-wholebody",
        source=Repository("project-lighter/whole_body_segmentation"),
        licence="Apache-2.0 as its sister repositories, unconfirmed",
        shapes=ct_fm.whole_body_shapes,
        fitted=partial(ct_fm.fitted, wanted=ct_fm.whole_body_shapes, usual=ct_fm.WHOLE_BODY),
    ),
    Published(
        name=options.TUMOUR,
        algorithm="ct-tumor",
        source=Own("train the segmenter of CT-FM"),
        licence="yours",
        shapes=ct_fm.segmenter_shapes,
        fitted=partial(ct_fm.fitted, wanted=ct_fm.segmenter_shapes),
    ),
    Published(
        name=options.TRIAGE["own"],
        algorithm="head-ct-triage",
        source=Own("train the encoder of CT-FM and a head"),
        licence="yours",
        shapes=ct_fm.triage_shapes,
        fitted=ct_fm.triage,
    ),
)

_CEREBRUM: Final = (
    Published(
        name="cerebrum-7t",
        algorithm="brain-t1",
        source=Download("model_trained.h5", "https://github.com/rockNroll87q/cerebrum7t"),
        licence="MIT, as its repository",
        shapes=cerebrum.shapes,
        fitted=cerebrum.fitted,
    ),
    Published(
        name="cerebrum-3t",
        algorithm="brain-t1",
        source=Own("ainode train-brain makes them"),
        licence="yours",
        shapes=cerebrum.shapes,
        fitted=cerebrum.fitted,
    ),
)

_FAHR_FACE: Final = (
    Published(
        name="fahr-face-age",
        algorithm="face-age",
        source=Repository("fridolin22/FAHR-Face", file="fahr_faceage.pth"),
        licence="none named; research only",
        shapes=published_keys.shapes,
        fitted=published_keys.fitted,
        extra_tensors=True,
    ),
    Published(
        name="fahr-face-survival",
        algorithm="face-survival",
        source=Own("fine-tune FAHR-Face"),
        licence="yours",
        shapes=published_keys.shapes,
        fitted=published_keys.fitted,
        extra_tensors=True,
    ),
)

PUBLISHED: Final[Mapping[str, Published]] = MappingProxyType(
    {
        each.name: each
        for each in (
            _segthor("segthor-task055", "3d_fullres"),
            _segthor("segthor-task055-lowres", "3d_lowres"),
            _segthor("segthor-task055-cascade", "3d_cascade_fullres"),
            _BODY_PART,
            *_CT_FM,
            *_CEREBRUM,
            *_FAHR_FACE,
        )
    }
)
