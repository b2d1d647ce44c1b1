"""FAHR-Face: biological age and survival risk from a photograph of one face (arXiv:2506.14909)."""
