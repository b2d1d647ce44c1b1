"""Annotation of chest CT: body, lungs and airways, with their measurements."""
