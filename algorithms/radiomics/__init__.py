"""Radiomics of segments: shape and first order written here, texture by mirp.

`measurement.measure` is the way in; `codes` says how each feature is coded, and is light to import.
"""
