"""Trust in what is in a layer: advisories, provenance, attestations and rebuilding a release."""
