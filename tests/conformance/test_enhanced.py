"""Results on Enhanced MR at the gate: they name the instance once, and the frame where it matters."""

from io import BytesIO
from pathlib import Path

import pytest
from pydicom import dcmread

from node.errors import Quarantined
from node.inbound import volumes
from node.outbound import equipment, gate
from node.outbound.objects import encode_all
from tests.enhanced_series import classic, converted, enhanced, saved
from tests.synthetic_series import findings, provenance

pytestmark = pytest.mark.filterwarnings("ignore:The string", "ignore:No anatomic region", "ignore:Unable to")


@pytest.mark.parametrize("make", [converted, enhanced])
def test_the_gate_passes_what_was_found_in_enhanced_mr(make, tmp_path: Path) -> None:
    volume, sources = volumes.read([saved(make(classic()), tmp_path)])
    found, made_by = findings(volume), provenance(volume)
    made = encode_all(found, volume, sources, made_by, rtstruct=True)
    gate.prove(made, found, volume, sources, made_by, rtstruct=True)
    by_role = {one.role: dcmread(BytesIO(one.content)) for one in made}
    (series,) = by_role["seg"].ReferencedSeriesSequence
    (instance,) = series.ReferencedInstanceSequence
    assert instance.ReferencedSOPInstanceUID == sources[0].SOPInstanceUID
    assert instance.ReferencedSOPClassUID == sources[0].SOPClassUID
    first = by_role["seg"].PerFrameFunctionalGroupsSequence[0].DerivationImageSequence[0]
    assert first.SourceImageSequence[0].ReferencedFrameNumber == sources[0].frame_number


def test_the_gate_tells_a_frame_from_its_neighbour(tmp_path: Path) -> None:
    volume, sources = volumes.read([saved(enhanced(classic()), tmp_path)])
    found, made_by = findings(volume), provenance(volume)
    made = encode_all(found, volume, sources, made_by, rtstruct=False)
    seg = dcmread(BytesIO(made[0].content))
    derivation = seg.PerFrameFunctionalGroupsSequence[0].DerivationImageSequence[0]
    derivation.SourceImageSequence[0].ReferencedFrameNumber = sources[1].frame_number
    with pytest.raises(Quarantined, match="frame 1 does not lie on its source image"):
        gate.prove([equipment.encoded("seg", seg), *made[1:]], found, volume, sources, made_by)
