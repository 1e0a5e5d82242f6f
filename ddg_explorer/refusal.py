"""Why a file of data is refused, with ways out under the names that its reader knows them by.

The same file is read in Python, from the command line and on the page, which do not offer the same
arguments, nor under the same names.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence


class Refusal(ValueError):
    """A fault, what to do in the file, and arguments of `read_dataset` that would do as well.

    Parameters
    ----------
    fault
        What is wrong, in one line.
    mend
        What to change in the file, "" where that would not help.
    arguments
        Names of arguments that help.
    file
        What to put in front, as `path='a.csv': `.
    """

    def __init__(
        self, fault: str, mend: str = "", arguments: Sequence[str] = (), file: str = ""
    ) -> None:
        self.fault, self.mend, self.arguments, self.file = fault, mend, tuple(arguments), file
        super().__init__(self.told({name: name for name in self.arguments}))

    def told(self, names: Mapping[str, str]) -> str:
        """The line for a reader who can give `names`, argument → what it is called there."""
        given = " or ".join(names[name] for name in self.arguments if name in names)
        ways = [way for way in (self.mend, given and f"give {given}") if way]
        return f"{self.file}{self.fault}" + (f": {', or '.join(ways)}" if ways else "")

    def of(self, file: str) -> Refusal:
        """The same about a file that is named."""
        return Refusal(self.fault, self.mend, self.arguments, file)


def offering(error: ValueError, names: Mapping[str, str]) -> ValueError:
    """The error with those ways out only that `names` has, and as it calls them."""
    return ValueError(error.told(names)) if isinstance(error, Refusal) else error
