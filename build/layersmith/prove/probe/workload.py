"""The workload by which emulation is calibrated: what a cold start does, without any layer.

It imports much of the standard library, from bytecode and from shared objects, then decodes,
compiles and sorts: the mix of file access, unmarshalling and bytecode that imports are made of.
"""

# ruff: noqa: F401 -- to import is the work

from __future__ import annotations

import ast
import asyncio
import concurrent.futures
import csv
import ctypes
import decimal
import email.message
import hashlib
import http.client
import inspect
import json
import logging.config
import multiprocessing.pool
import pickle
import sqlite3
import ssl
import statistics
import typing
import unittest.mock
import urllib.request
import xml.etree.ElementTree
import zipfile
from typing import Any


def handler(_event: dict[str, Any], _context: object) -> int:
    """Parse, compile and run a module of two hundred classes, and sort what is in it."""
    source = "\n".join(
        f"class C{n}:\n    a: int = {n}\n    def f(self, x): return [x, {n}, 'text {n}']"
        for n in range(200)
    )
    scope: dict[str, Any] = {}
    exec(compile(ast.parse(source), "workload", "exec"), scope)  # noqa: S102 -- own source
    made = [scope[f"C{n}"]().f(n) for n in range(200)]
    return len(json.dumps(sorted(made, reverse=True)))
