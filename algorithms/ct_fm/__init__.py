"""CT-FM, a foundation model for CT, and what is built on it (Pai et al., arXiv:2501.09001)."""
