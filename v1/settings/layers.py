"""
Where settings are written: `.env`, `tracker.toml`, and for each secret a file of its own that `NAME_FILE` names in the
environment or in either. What is wrong with a file is said with its whole path. The classes of settings say what each means.
"""

import os
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pydantic.fields import FieldInfo
from pydantic_settings import (
    BaseSettings,
    DotEnvSettingsSource,
    EnvSettingsSource,
    PydanticBaseSettingsSource,
    TomlConfigSettingsSource,
)

ENV_FILE = ".env"
TOML_FILE = "tracker.toml"
SUFFIX = "_FILE"
WITHOUT_FILES = "DATA_TRACKER_WITHOUT_FILES"
"""Set in the environment, neither `.env` nor `tracker.toml` is read: the demo's parts must not find real addresses there."""
_ENCODING = "utf-8-sig"
"""With or without a byte order mark, which some editors put there."""


class InvalidSettings(Exception):
    """The environment says something that cannot be meant; the message has one line per wrong setting."""


class EnvFile(DotEnvSettingsSource):
    """Settings from `.env`."""

    def __init__(self, settings_cls: type[BaseSettings]) -> None:
        here = None if WITHOUT_FILES in os.environ else ENV_FILE
        with _name_file(Path(ENV_FILE)):
            super().__init__(settings_cls, env_file=here, env_file_encoding=_ENCODING)


class TomlFile(TomlConfigSettingsSource):
    """Settings from `tracker.toml`."""

    def __init__(self, settings_cls: type[BaseSettings]) -> None:
        with _name_file(Path(TOML_FILE)):
            super().__init__(settings_cls, None if WITHOUT_FILES in os.environ else TOML_FILE)

    def _read_file(self, file_path: Any) -> dict[str, Any]:
        return tomllib.loads(Path(file_path).read_text(encoding=_ENCODING))


class SecretFiles(PydanticBaseSettingsSource):
    """The secrets of one layer whose setting is not there itself, but as the name of a file. Raises `WrongSettings`."""

    def __init__(self, settings_cls: type[BaseSettings], secrets: frozenset[str], given: Mapping[str, object]) -> None:
        super().__init__(settings_cls)
        self._secrets = secrets
        self._given = given

    def get_field_value(
        self,
        field: FieldInfo,  # noqa: ARG002  # asked for by the class above; the name says all
        field_name: str,
    ) -> tuple[Any, str, bool]:
        path = str(self._given.get(name_file_setting(field_name)) or "").strip()
        return (self._read(field_name, Path(path)) if path else None), field_name, False

    def _read(self, name: str, path: Path) -> str:
        setting = f"{self.config['env_prefix']}{name.upper()}"
        if self._given.get(name):
            raise InvalidSettings(f"{setting} and {setting}{SUFFIX} are both set; one must go")
        with _name_file(path, f"{setting}{SUFFIX}: "):
            text = path.read_text(encoding=_ENCODING).strip()
        if not text:
            raise InvalidSettings(f"{setting}{SUFFIX}: {path.absolute()} is empty")
        return text

    def __call__(self) -> dict[str, Any]:
        fields = self.settings_cls.model_fields
        found = {name: self.get_field_value(fields[name], name)[0] for name in sorted(self._secrets)}
        return {name: text for name, text in found.items() if text is not None}


def name_file_setting(name: str) -> str:
    """Return the name of the setting that names the file of a secret."""
    return f"{name}{SUFFIX.lower()}"


def make_layers(kind: type[BaseSettings], secrets: frozenset[str]) -> list[PydanticBaseSettingsSource]:
    """Return all sources, those that win first."""
    found: list[PydanticBaseSettingsSource] = []
    for source, given in list_written(kind):
        found += [source, SecretFiles(kind, secrets, given)]
    return found


def list_written(kind: type[BaseSettings]) -> Iterator[tuple[PydanticBaseSettingsSource, dict[str, object]]]:
    """Yield each place where settings are written, and what is written there, by the setting's name in small letters."""
    prefix = str(kind.model_config["env_prefix"]).lower()
    for source in (EnvSettingsSource(kind), EnvFile(kind)):
        names: Mapping[str, object] = source.env_vars
        yield source, {name.removeprefix(prefix): each for name, each in names.items() if name.startswith(prefix)}
    toml = TomlFile(kind)
    yield toml, {name.lower(): each for name, each in toml.toml_data.items()}


@contextmanager
def _name_file(path: Path, setting: str = "") -> Iterator[None]:
    """Say of what goes wrong with a file which one it is."""
    try:
        yield
    except OSError as error:
        raise InvalidSettings(f"{setting}{path.absolute()} cannot be read: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise InvalidSettings(f"{setting}{path.absolute()} cannot be read: it is not UTF-8") from error
    except ValueError as error:
        raise InvalidSettings(f"{setting}{path.absolute()} cannot be read: {error}") from error
