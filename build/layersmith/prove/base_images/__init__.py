"""The base images of the proofs: AWS's own, or a stand-in made here."""
