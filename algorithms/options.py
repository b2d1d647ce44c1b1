"""Options of algorithms that take one of several values."""

from collections.abc import Mapping

Choices = Mapping[str, tuple[str, ...]]
"""The values of each option, the usual one first."""


def chosen(algorithm: str, choices: Choices, options: Mapping[str, str]) -> dict[str, str]:
    """The value of every option, the usual one where nothing is said.

    Raises:
        ValueError: an option or a value that there is not; it is named.
    """
    for name, value in options.items():
        if name not in choices:
            known = ", ".join(choices) or "none"
            raise ValueError(f"{algorithm} has no option {name!r}; there is {known}")
        if value not in choices[name]:
            raise ValueError(f"{name} is {value!r}; it is one of {', '.join(choices[name])}")
    return {name: options.get(name, values[0]) for name, values in choices.items()}
