"""The embedded Fmask-type detector, one step a kernel; what runs somebody else's Fmask lives in `io/detectors`."""
