"""Settings: pydantic models, of which yaml is only the spelling.

A yaml file is found by its path or by its bare name (`brain_mri`); single keys
are changed by `--set section.key=value`. A misspelt key never passes.
"""

import difflib
import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any, TypeVar, get_args

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from diascope.errors import ConfigError


class Settings(BaseModel):
    """Base of every settings model: frozen, and no unknown key passes."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


S = TypeVar("S", bound=Settings)

_TRAINING = "train"

# Between the scheme and the host of an address; a password may itself hold an @.
_CREDENTIALS = re.compile(r"(?<=://)[^/\s'\"]*@")


def load_settings(model: type[S], source: Path, overrides: Sequence[str] = ()) -> S:
    """Read a yaml file into a settings model.

    Args:
        model: The model that says which keys there are.
        source: The yaml file.
        overrides: `section.key=value`, the value spelt as in yaml; they win.

    Raises:
        ConfigError: The file is not yaml, or a key or value does not fit; the
            message names the key and, for a misspelt one, the nearest that is.
    """
    return parse_settings(model, read_yaml(source), overrides, where=source.name)


def parse_settings(
    model: type[S], values: Mapping[str, Any], overrides: Sequence[str] = (), *, where: str = "settings"
) -> S:
    """Check settings that are already in memory; see `load_settings`."""
    merged = json.loads(json.dumps(dict(values), default=str))
    for text in overrides:
        _set_key(merged, text)
    try:
        return model.model_validate(merged)
    except ValidationError as error:
        raise _config_error(model, error, merged, where) from None


def read_yaml(source: Path) -> dict[str, Any]:
    """Read a yaml mapping.

    Raises:
        ConfigError: There is no such file, or it holds no mapping.
    """
    try:
        values = yaml.safe_load(source.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"cannot read the config {source.name}: {error.strerror}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{source.name} is not valid yaml{_yaml_problem(error)}") from None
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise ConfigError(f"{source.name}: expected keys and values, got a {type(values).__name__}")
    return values


def config_folder() -> Path:
    """Folder of the configs that come with the package: the checkout's, else the wheel's."""
    checkout = Path(__file__).resolve().parents[2] / "configs"
    return checkout if checkout.is_dir() else Path(str(resources.files("diascope"))) / "_configs"


def find_config(name: str, folder: Path | None = None) -> Path:
    """Find a config by path, or by its bare name among those that come with the package.

    Raises:
        ConfigError: There is none; the message lists the names there are.
    """
    as_path = Path(name)
    if as_path.suffix in {".yaml", ".yml"} or as_path.is_file():
        if not as_path.is_file():
            raise ConfigError(f"there is no config file {name}", hint=_shipped_hint(as_path.stem, folder))
        return as_path
    folder = folder or config_folder()
    found = folder / f"{name}.yaml"
    if found.is_file():
        return found
    names = _shipped_like(name, folder)
    raise ConfigError(
        f"there is no config named {name}", hint=_did_you_mean(name, names) or f"there are: {', '.join(names)}"
    )


def _shipped_like(name: str, folder: Path) -> list[str]:
    # Trainings are shown to somebody who seems to mean one.
    is_training = _TRAINING in name
    return sorted(path.stem for path in folder.glob("*.yaml") if path.stem.startswith(_TRAINING) == is_training)


def _shipped_hint(stem: str, folder: Path | None) -> str:
    names = _shipped_like(stem, folder or config_folder())
    return f"give its path from this folder, or the name of one that comes with diascope: {', '.join(names)}"


def settings_hash(settings: Settings) -> str:
    """Hash what a config says, independent of how its yaml is written.

    Returns:
        64 hexadecimal digits (SHA-256).
    """
    canonical = json.dumps(settings.model_dump(mode="json"), sort_keys=True, ensure_ascii=True)
    return hashlib.sha256(canonical.encode()).hexdigest()


def without_password(text: str) -> str:
    """Take user and password out of every address in a text."""
    return _CREDENTIALS.sub("", text)


def _yaml_problem(error: Exception) -> str:
    """Say where and what, without the line itself, which may hold a password."""
    mark, problem = getattr(error, "problem_mark", None), getattr(error, "problem", None)
    where = f", line {mark.line + 1}, column {mark.column + 1}" if mark else ""
    return f"{where}: {problem or type(error).__name__}"


def _set_key(values: dict[str, Any], text: str) -> None:
    key, equals, spelled = text.partition("=")
    if not equals or not key:
        raise ConfigError(f"--set {without_password(text)}: expected key=value", hint="for example --set device=cpu")
    parts = key.split(".")
    target: Any = values
    for at, part in enumerate(parts[:-1]):
        if isinstance(target, list) and part.isdigit() and int(part) < len(target):
            target = target[int(part)]
        elif isinstance(target, dict):
            target = target.setdefault(part, {})
        else:
            raise ConfigError(f"--set {key}: {'.'.join(parts[: at + 1])} has no keys below it")
    try:
        value = yaml.safe_load(spelled)
    except yaml.YAMLError:
        raise ConfigError(f"--set {key}: the value is not valid yaml") from None
    if isinstance(target, list) and parts[-1].isdigit() and int(parts[-1]) < len(target):
        target[int(parts[-1])] = value
    elif isinstance(target, dict):
        target[parts[-1]] = value
    else:
        raise ConfigError(f"--set {key}: {'.'.join(parts[:-1])} has no keys below it")


def _config_error(model: type[Settings], error: ValidationError, values: Mapping[str, Any], where: str) -> ConfigError:
    lines, hints = [], []
    for problem in _root_causes(error):
        key = _spelt_key(problem["loc"], values)
        if problem["type"] == "extra_forbidden":
            lines.append(f"{where}: {key} is not a setting")
            hints.append(_did_you_mean(key, list(_key_paths(model))))
        else:
            said = problem["msg"].removeprefix("Value error, ")  # of a validator of ours
            lines.append(f"{where}: {key}: {said} (got {_short(problem.get('input'))})")
    return ConfigError("\n".join(lines), hint="; ".join(hint for hint in hints if hint))


def _root_causes(error: ValidationError) -> list[Any]:
    """Leave out that a list is too short where what is wrong with its items is told."""
    found = error.errors()
    places = [problem["loc"] for problem in found]

    def is_told_below(place: tuple[int | str, ...]) -> bool:
        return any(other[: len(place)] == place for other in places if len(other) > len(place))

    return [one for one in found if one["type"] != "too_short" or not is_told_below(one["loc"])]


def _spelt_key(location: Sequence[int | str], values: Any) -> str:
    """Spell a key as the yaml does: pydantic puts the kind of a union between two keys."""
    parts: list[str] = []
    for at, part in enumerate(location):
        is_there = part in values if isinstance(values, dict) else isinstance(values, list) and isinstance(part, int)
        if is_there:
            values = values[part]
        if is_there or at == len(location) - 1:
            parts.append(str(part))
    return ".".join(parts)


def _short(value: object) -> str:
    text = without_password(repr(value))
    return text if len(text) <= 60 else text[:57] + "..."


def _key_paths(model: type[BaseModel], prefix: str = "") -> Iterator[str]:
    for name, field in model.model_fields.items():
        yield prefix + name
        for part in _models_in(field.annotation):
            yield from _key_paths(part, f"{prefix}{name}.")


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in get_args(annotation):
        yield from _models_in(inner)


def _did_you_mean(key: str, known: Sequence[str]) -> str:
    plain = ".".join(part for part in key.split(".") if not part.isdigit())
    near = difflib.get_close_matches(plain, known, n=1, cutoff=0.6)
    return f"did you mean {near[0]}?" if near else ""
