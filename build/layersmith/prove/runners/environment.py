"""The environment variables that Lambda sets for a function.

Names and values are those of AWS's documentation
(https://docs.aws.amazon.com/lambda/latest/dg/configuration-envvars.html); there are no
credentials among them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from layersmith.prove.runners.runtime_api import REGION

if TYPE_CHECKING:
    from layersmith.prove.models import FunctionSpec

LIBRARY_PATH = (
    "/var/lang/lib:/lib64:/usr/lib64:/var/runtime:/var/runtime/lib:/var/task:/var/task/lib:/opt/lib"
)
"""LD_LIBRARY_PATH of Lambda's Python runtimes (AWS's documentation, and ENV of their images)."""


def variables(
    spec: FunctionSpec, *, api: str, runtime: str, task: str, runtime_folder: str, libraries: str
) -> dict[str, str]:
    """Return what a function finds in its environment, its own variables last.

    Args:
        spec: The function.
        api: Host and port of the Runtime API.
        runtime: ``python3.13``.
        task: Folder of its code, /var/task on Lambda.
        runtime_folder: Folder of the runtime's own packages, /var/runtime on Lambda.
        libraries: Where the loader looks for libraries, LIBRARY_PATH on Lambda.
    """
    return {
        "AWS_DEFAULT_REGION": REGION,
        "AWS_EXECUTION_ENV": f"AWS_Lambda_{runtime}",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(spec.memory),
        "AWS_LAMBDA_FUNCTION_NAME": spec.name,
        "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
        "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
        "AWS_LAMBDA_LOG_GROUP_NAME": f"/aws/lambda/{spec.name}",
        "AWS_LAMBDA_LOG_STREAM_NAME": "proof",
        "AWS_LAMBDA_RUNTIME_API": api,
        "AWS_REGION": REGION,
        "LAMBDA_RUNTIME_DIR": runtime_folder,
        "LAMBDA_TASK_ROOT": task,
        "LANG": "en_US.UTF-8",
        "LD_LIBRARY_PATH": libraries,
        "TZ": ":UTC",
        "_HANDLER": spec.handler,
        **spec.environment,
    }
