"""Networks of other projects, rebuilt so that their published weights load here."""
