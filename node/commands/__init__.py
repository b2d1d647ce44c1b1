"""The command line, by subject. Every command takes `--config`; tables for people, `--json` for machines."""
