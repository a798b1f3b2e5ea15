"""What is said of a build that failed: the error, its cause, and what helps."""

from __future__ import annotations

import functools
from pathlib import Path

import pytest
from layersmith import process
from layersmith.crossbuild.backend import Backend, does_not_compile
from layersmith.crossbuild.isolated import Virtualenv
from layersmith.crossbuild.sdist import Project
from layersmith.errors import BuildError

PROJECT = Project("thing", "1.0", "setuptools.build_meta", (), ())
HOOK = """\
Traceback (most recent call last):
  File "/site/pyproject_hooks/_in_process.py", line 406, in <module>
    main()
    ~~~~^^
  File "/site/setuptools/build_meta.py", line 429, in _build
    return self._build_with_temp_dir(
"""
CONFIGURE = f"""\
checking whether we are cross compiling... configure: error: in '/tmp/thing':
configure: error: cannot run C compiled programs.
If you meant to cross compile, use '--host'.
{HOOK}  File "/python/subprocess.py", line 419, in check_call
    raise CalledProcessError(retcode, cmd)
subprocess.CalledProcessError: Command '['configure']' returned non-zero exit status 1.
"""
GCC = f"""\
{HOOK}  File "/source/uwsgiconfig.py", line 752, in __init__
    gcc_version_components = gcc_version.split('.')
                             ^^^^^^^^^^^^^^^^^
AttributeError: 'NoneType' object has no attribute 'split'
During handling of the above exception, another exception occurred:
{HOOK}  File "/source/uwsgiconfig.py", line 760, in __init__
    raise Exception("you need a C compiler to build it")
Exception: you need a C compiler to build it
"""
LIBRARY = "thing.c:1:10: fatal error: 'sql.h' file not found\n"


def failure(said: str) -> BuildError:
    """Return the error for a backend that says something and fails."""
    refused = functools.partial(does_not_compile, PROJECT)
    backend = Backend(PROJECT, Path("/source"), Virtualenv(Path("/venv")), {}, refused)

    def hook() -> None:
        raise process.CommandFailed(process.Completed(("python",), 1, "", said))

    with pytest.raises(BuildError) as caught:
        backend._call(hook)
    return caught.value


@pytest.mark.parametrize(
    ("said", "cause", "hint"),
    [
        (CONFIGURE, "runs a program that it compiled for the target", "build it in a container"),
        (GCC, "asks its compiler for the version of gcc", "build it in a container"),
        (LIBRARY, "needs a C library that its sdist does not hold", "add options under"),
        ("it broke", "its build reported an error", "add options under"),
    ],
)
def test_the_cause_is_named_with_what_helps(said: str, cause: str, hint: str) -> None:
    found = failure(said)
    assert cause in str(found.cause)
    assert str(found.hint).startswith(hint)
    assert "`build: {thing: {container: true}}`" in str(found.hint)


@pytest.mark.parametrize(
    ("said", "last"),
    [
        (CONFIGURE, "subprocess.CalledProcessError: Command '['configure']' returned non-zero"),
        (GCC, "Exception: you need a C compiler to build it"),
    ],
)
def test_a_traceback_is_reduced_to_its_last_frame(said: str, last: str) -> None:
    message = failure(said).message
    assert "_in_process.py" not in message
    assert "build_meta.py" not in message
    assert message.splitlines()[-1].strip().startswith(last)
    assert message.count('  File "') == said.count("Traceback")
