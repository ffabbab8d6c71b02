"""The environment: the process's own, and an env file when one is named. Nothing else reads either."""

import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from dotenv.parser import Binding, parse_stream

from forwarder.errors import ConfigurationError, Problem
from forwarder.variables import PREFIX


def read_environment(env_file: Path | None = None) -> dict[str, str]:
    """The variables with our prefix, from the process's environment and from *env_file*.

    There is no precedence to remember: a variable that both give must have one value. The file is taken literally,
    without ``${…}`` in its values, and may hold nothing but our variables (aiohttp reads ``HTTPS_PROXY`` from the real
    environment only, so one in the file would do nothing).

    :raises ConfigurationError: the file cannot be read or understood, or disagrees with the environment
    """
    own = {name: value for name, value in os.environ.items() if name.startswith(PREFIX)}
    if env_file is None:
        return own
    try:
        with env_file.open(encoding="utf-8-sig") as stream:
            bindings = list(parse_stream(stream))
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise ConfigurationError([Problem("--env-file", f"cannot be read: {reason}")]) from error
    return merge(own, bindings)


def merge(own: Mapping[str, str], bindings: Iterable[Binding]) -> dict[str, str]:
    """*own* together with what an env file binds.

    :raises ConfigurationError: a line cannot be understood, or two places give one variable different values
    """
    merged, problems, seen = dict(own), [], set[str]()
    for binding in bindings:
        line = binding.original.line
        if binding.error:
            problems.append(Problem("--env-file", f"line {line} is not NAME=value"))
        elif binding.key is None:
            continue
        elif not binding.key.startswith(PREFIX):
            problems.append(
                Problem(binding.key, f"line {line} of --env-file: only {PREFIX}… variables are read from it"),
            )
        elif binding.value is None:
            problems.append(Problem(binding.key, f"line {line} of --env-file gives it no value; write NAME=value"))
        elif merged.get(binding.key, binding.value) != binding.value:
            other = "an earlier line" if binding.key in seen else "the environment"
            problems.append(
                Problem(binding.key, f"line {line} of --env-file and {other} give it different values"),
            )
        else:
            merged[binding.key] = binding.value
            seen.add(binding.key)
    if problems:
        raise ConfigurationError(problems)
    return merged
