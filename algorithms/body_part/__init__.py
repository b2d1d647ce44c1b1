"""Body part regression: a score for each axial slice that rises evenly from the pelvis to the head.

Read in the order of the work: preprocessing, network, regressor (a volume becomes slice scores);
scores (cleaning, and whether they are plausible); anatomy and levels (landmarks, regions, the tag);
coverage (what the images show, for routing); annotation (the algorithm). `training` is the
recipe of the weights. After Schuhegger, arXiv:2110.09148, and Yan et al., arXiv:1707.03891.
"""
