"""What all outside programs have in common: a command, a version, and how to get them."""

from __future__ import annotations

import re
import shutil
from abc import ABC, abstractmethod
from functools import lru_cache
from typing import ClassVar

import dagster as dg

from refinebio_assets.errors import ToolFailed, ToolMissing, ToolTooOld
from refinebio_assets.resources.process import run_tool


class Tool(dg.ConfigurableResource, ABC):
    """Base of the resources that start a program."""

    title: ClassVar[str]
    minimum: ClassVar[tuple[int, ...]]
    debian_packages: ClassVar[str]

    @abstractmethod
    def command(self) -> str:
        """The program that is asked for its version."""

    def version_arguments(self) -> list[str]:
        """Arguments that make it print its version."""
        return ["--version"]

    def remedy(self) -> str:
        """What to do where it is missing or too old."""
        return (
            f"Install it with `apt-get install {self.debian_packages}`, "
            "or set the command in the resource's configuration."
        )

    def version(self) -> str:
        """The version found, such as '1.10.1'; checked against the oldest that will do.

        Raises
        ------
        ToolMissing, ToolTooOld
        """
        path = shutil.which(self.command())
        if path is None:
            raise ToolMissing(
                f"{self.title} was not found: no program {self.command()!r}.", remedy=self.remedy()
            )
        version = _probe(path, tuple(self.version_arguments()))
        if version is None:
            raise ToolMissing(f"{path} does not tell its version.", remedy=self.remedy())
        if tuple(int(part) for part in version.split(".")) < self.minimum:
            oldest = ".".join(map(str, self.minimum))
            raise ToolTooOld(
                f"{self.title} {version} is too old: {oldest} or newer is needed.",
                remedy=self.remedy(),
            )
        return version


@lru_cache
def _probe(path: str, arguments: tuple[str, ...]) -> str | None:
    try:
        lines = run_tool([path, *arguments], timeout=60)
    except ToolFailed as failed:  # some programs print their version and end with 1
        lines = failed.tail
    found = re.search(r"(?<![\w.])v?(\d+(?:\.\d+)+)", "\n".join(lines))
    return found.group(1) if found else None
