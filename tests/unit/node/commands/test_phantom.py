"""`ainode phantom`: what is written reads back as what was drawn."""

import subprocess
import sys

import numpy as np

from algorithms.phantoms import head_ct
from node.inbound import nifti, volumes


def test_a_bleeding_head_reads_back_as_a_volume_with_its_bleed(tmp_path):
    command = [sys.executable, "-m", "node", "phantom", "head-ct", str(tmp_path), "--seed", "1"]
    subprocess.run(command, check=True, capture_output=True)
    drawn = head_ct(1)
    files = sorted((tmp_path / "dicom").iterdir())
    volume, headers = volumes.read(files)
    assert (volume.unit, volume.modality, headers[0].BodyPartExamined) == ("HU", "CT", "HEAD")
    assert volume.voxels.shape == drawn.volume.voxels.shape
    assert np.allclose(volume.affine_mm, drawn.volume.affine_mm, atol=1e-4)
    assert np.abs(volume.voxels - np.clip(drawn.volume.voxels, -1024, 3071)).max() <= 0.5
    truth = nifti.labels(tmp_path / "truth.nii.gz", volume)
    assert {"Bleed", "Brain", "Skull"} <= truth.keys()
    assert np.array_equal(truth["Bleed"], drawn.truth["Bleed"])
    assert np.count_nonzero(truth["Bleed"]) > 0
    assert len({header.SOPInstanceUID for header in headers}) == len(files)
