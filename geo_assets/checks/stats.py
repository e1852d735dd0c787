"""The inspector of the statistics: was anything counted, in every band?"""

from collections.abc import Mapping

from geo_assets.checks.figures import as_number, lacking
from geo_assets.orchestration.inspection import Evidence, Verdict

BANDS, PIXELS = "bands", "pixels"
"""Metric of the statistics: band -> its figures, of which this is the number of pixels counted."""


def every_band_was_counted(evidence: Evidence) -> Verdict:
    """Each band of the region has pixels."""
    bands = evidence.manifest.metrics.get(BANDS)
    if not isinstance(bands, Mapping):
        return lacking(evidence.manifest, BANDS)
    counts = {
        band: as_number(figures.get(PIXELS)) or 0.0 for band, figures in bands.items() if isinstance(figures, Mapping)
    }
    missing = [band for band in evidence.region.bands if counts.get(band, 0.0) <= 0]
    found = f"no pixels in {', '.join(missing)}" if missing else f"at least {min(counts.values()):.0f} px a band"
    return Verdict(not missing, f"{found}; {len(evidence.region.bands)} bands expected", {"missing": len(missing)})
