"""Calls the handler with an event, as Lambda would."""

import json
import sys

from handler import handler
from vector_common.testing import LambdaContext

answer = handler(json.loads(sys.argv[1]), LambdaContext())
sys.stdout.write(json.dumps(answer, indent=2) + "\n")
