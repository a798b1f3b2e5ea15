"""What layers.yaml may say. These models are the source of the JSON Schema and of the reference.

Sizes are bytes, durations seconds, growth percent; values.py says how they are written. Keys are
written in kebab-case.
"""

from __future__ import annotations

from typing import Annotated, Any, Self

from pydantic import Discriminator, Field, Tag, model_validator

from layersmith.config.trust import AdvisoryPolicy, Attestations, Licenses, Signing
from layersmith.config.values import (
    Account,
    Age,
    Architecture,
    DescribedChoice,
    Distinct,
    DistributionName,
    EveryRecipe,
    ExtraName,
    FindingName,
    Glob,
    GroupName,
    HandlerName,
    InitDuration,
    LayerArn,
    LayerPath,
    LibraryName,
    Model,
    ModuleName,
    Name,
    PackageVersion,
    Percent,
    Principal,
    Reason,
    Region,
    RelativePath,
    RequirementString,
    RuntimeName,
    SemVer,
    Size,
    UnzippedSize,
    Variable,
    kebab,
)

MERGED = ("budgets", "prune", "environment", "licenses")
"""Settings of ``defaults`` and fragments that are merged key by key; all others are replaced as a
whole."""


def _list_or_file(value: Any) -> str:
    if isinstance(value, str):
        return "path"
    return "file" if isinstance(value, dict | RequirementsFile) else "list"


def _all_or_list(value: Any) -> str:
    return "all" if isinstance(value, str) else "list"


def _name_or_contents(value: Any) -> str:
    return "contents" if isinstance(value, dict | ManagedContents) else "name"


def _layer_or_arn(value: Any) -> str:
    return "arn" if isinstance(value, dict | ForeignLayer) else "layer"


class StorageMode(DescribedChoice):
    """Where Lambda has the zip of a layer version (AWS: S3ObjectStorageMode)."""

    COPY = "copy", "In Lambda's own storage, of which a region has 300 GB."
    REFERENCE = "reference", "In the region's artifact bucket, outside that quota."


class BytecodeMode(DescribedChoice):
    """Whether a layer holds bytecode, and which."""

    UNCHECKED_HASH = (
        "unchecked-hash",
        "Sources, and .pyc files that are never compared with their source (PEP 552).",
    )
    NONE = "none", "Sources only, which every start compiles anew."
    ONLY = (
        "only",
        ".pyc files in the place of their sources: smallest, but tracebacks show no source lines.",
    )


class TargetBudgets(Model):
    """How large and how slow a layer may be on one architecture."""

    zipped: Annotated[Size | None, Field(examples=["30MB"])] = None
    """Size of the zip."""
    unzipped: Annotated[UnzippedSize | None, Field(examples=["95MB", "250MiB"])] = None
    """Size under /opt, uncompressed (AWS: up to 262,144,000 bytes, 250MiB)."""
    cold_start: Annotated[InitDuration | None, Field(examples=["3s", "450ms"])] = None
    """Median time from the start of the runtime to the first answer (AWS: up to 10 s)."""
    cold_start_price: Annotated[float | None, Field(gt=0, examples=[7.5])] = None
    """Median price in USD of a million cold starts, INIT and first invocation, at 1,769 MB."""
    growth: Annotated[Percent | None, Field(examples=["10%"])] = None
    """How much the zip may grow against the last release."""


class Budgets(TargetBudgets):
    """How large and how slow a layer may be. Over budget is exit code 7."""

    arm64: Annotated[TargetBudgets | None, Field(examples=[{"unzipped": "90MB"}])] = None
    """Budgets that are others on arm64; what it does not set is as above."""
    x86_64: Annotated[
        TargetBudgets | None, Field(alias="x86_64", examples=[{"unzipped": "110MB"}])
    ] = None
    """Budgets that are others on x86_64, where the same packages are often larger."""

    def on(self, architecture: str) -> Budgets:
        """Return the budgets of one architecture."""
        own = getattr(self, architecture)
        changed = own.model_dump(exclude_none=True) if own else {}
        return self.model_copy(update={"arm64": None, "x86_64": None, **changed})


class Prune(Model):
    """Which files are left out of a layer."""

    defaults: bool = True
    """Apply the built-in rules: tests, caches, headers, sources, .pyi, static libraries, docs,
    scripts, programs for Windows. What the rest of the layer imports stays, with the reason in the
    manifest."""
    add: Annotated[list[Glob], Field(examples=[["numpy/f2py/**"]])] = []
    """More globs over paths below python/; what they match goes even if something imports it."""
    keep: Annotated[list[Glob], Field(examples=[["numpy/testing/**"]])] = []
    """Globs over paths that stay although a rule would remove them."""


class Stub(Model):
    """A small module that takes the place of a distribution."""

    path: Annotated[RelativePath, Field(examples=["stubs/overrides"])]
    """Folder whose content is laid at python/, relative to layers.yaml."""
    reason: Annotated[Reason, Field(examples=["tracing is off in production"])]
    """Why the distribution itself is not needed."""


class BuildOptions(Model):
    """How a distribution is compiled from its sdist for the target."""

    version: Annotated[PackageVersion | None, Field(examples=["2.1.3"])] = None
    """Version to compile; a constraint on the resolution."""
    setup_args: Annotated[list[str], Field(examples=[["-Dblas=none"]])] = []
    """Arguments for the build backend's set-up, such as meson's options."""
    config_settings: Annotated[dict[str, str], Field(examples=[{"builddir": "out"}])] = {}
    """PEP 517 config settings, passed on as they are."""
    environment: Annotated[dict[Variable, str], Field(examples=[{"CFLAGS": "-O2"}])] = {}
    """Variables that the build sees."""
    container: bool = False
    """Build in a container of the target's architecture instead of cross-compiling."""


class RequirementsFile(Model):
    """A requirements file as pip reads it: hashes, ``-r`` and ``-c``; other options are refused.

    Under ``requirements`` it may be a ``pyproject.toml``: the layer gets what the project depends
    on, not the project itself, which `packages` would add. Its [tool.uv.sources] count: folders and
    members of a workspace go into the layer as local packages, git repositories and URLs as if
    they stood in the requirement; indexes are those of uv's configuration beside layers.yaml.
    Under ``constraints`` it may be a lock: ``uv.lock``, ``poetry.lock``, ``Pipfile.lock`` or a
    ``pylock.toml``. Its versions are taken where they fit the target; `lock` says which do not.
    """

    file: Annotated[RelativePath, Field(examples=["requirements/imaging.txt"])]
    """Path relative to layers.yaml."""
    groups: Annotated[list[GroupName], Field(examples=[["lambda"]]), Distinct] = []
    """Dependency groups of a pyproject.toml (PEP 735), in addition to the dependencies of its
    [project]. One without a [project] table has only groups."""
    extras: Annotated[list[ExtraName], Field(examples=[["images"]]), Distinct] = []
    """Extras of the project of a pyproject.toml, in addition to its dependencies."""


Requirements = Annotated[
    Annotated[list[RequirementString], Tag("list")]
    | Annotated[RequirementsFile, Tag("file")]
    | Annotated[RelativePath, Tag("path")],
    Discriminator(_list_or_file),
]
"""Requirements inline, or the file that holds them."""


def file_of(setting: Requirements) -> str | None:
    """Return the path of the file that holds requirements; None where they are inline."""
    if isinstance(setting, RequirementsFile):
        return setting.file
    return setting if isinstance(setting, str) else None


def as_file(setting: Requirements) -> RequirementsFile | None:
    """Return what is said of a file that holds requirements; None where they are inline."""
    if isinstance(setting, str):
        return RequirementsFile(file=setting)
    return setting if isinstance(setting, RequirementsFile) else None


class ForeignLayer(Model):
    """A layer version that somebody else publishes."""

    arn: Annotated[
        LayerArn, Field(examples=["arn:aws:lambda:eu-central-1:123456789012:layer:odbc:4"])
    ]
    """Its ARN, with the version number."""
    libraries: Annotated[
        list[LibraryName], Field(min_length=1, examples=[["libodbc.so.2"]]), Distinct
    ]
    """The libraries that it has in lib/, under the names by which they are loaded."""


Beside = Annotated[
    Annotated[Name, Tag("layer")] | Annotated[ForeignLayer, Tag("arn")],
    Discriminator(_layer_or_arn),
]
"""A layer of layers.yaml by its name, or any other by its ARN."""


class ManagedContents(Model):
    """A managed layer with what it brings.

    Written where layersmith does not know the layer, or where the version that functions use holds
    other versions than those that it knows.
    """

    name: Annotated[str, Field(min_length=1, examples=["AWSSDKPandas-Python313-Arm64"])]
    """Its name, or its ARN."""
    distributions: Annotated[
        dict[DistributionName, PackageVersion] | None,
        Field(examples=[{"pandas": "2.3.3", "numpy": "2.3.4"}]),
    ] = None
    """All distributions in it and their versions, or {} where it brings none. Without this key
    they are those that layersmith knows."""
    unzipped: Annotated[UnzippedSize | None, Field(examples=["190MB"])] = None
    """Its size under /opt, which counts for the limit of every function that uses it."""


ManagedLayers = list[
    Annotated[
        Annotated[str, Tag("name")] | Annotated[ManagedContents, Tag("contents")],
        Discriminator(_name_or_contents),
    ]
]
"""Managed layers by name or ARN, or with what they bring."""


RecipeNames = Annotated[
    Annotated[Annotated[list[DistributionName], Distinct], Tag("list")]
    | Annotated[EveryRecipe, Tag("all")],
    Discriminator(_all_or_list),
]
"""Names of distributions, or all of them."""

Runtimes = Annotated[
    list[RuntimeName], Field(min_length=1, examples=[["python3.12", "python3.13"]]), Distinct
]
OptionalRuntimes = Annotated[Runtimes | None, Field(examples=[["python3.12", "python3.13"]])]
Architectures = Annotated[
    list[Architecture], Field(min_length=1, examples=[["arm64", "x86_64"]]), Distinct
]


class Contents(Model):
    """What decides the content of a zip: of a layer, or of a function's package."""

    runtimes: OptionalRuntimes = None
    """Lambda runtimes to build for."""
    architectures: Architectures | None = None
    """Architectures to build for, as AWS spells them."""
    constraints: Annotated[Requirements, Field(examples=[["numpy<2.4"], "uv.lock"])] = []
    """Versions that the resolver must respect; they ask for nothing by themselves."""
    overrides: Annotated[list[RequirementString], Field(examples=[["numpy>=2"]])] = []
    """Requirements that replace what any distribution asks for under the same name, where its own
    limit is known to be too narrow."""
    cool_down: Annotated[Age | None, Field(examples=["7d", "36h"])] = None
    """How long a file must have been on the index before `lock` takes it: most malicious uploads
    are found within days. Older versions are taken instead. Where the index does not say when a
    file was uploaded (PEP 700), it is not taken. See docs/trust.md."""
    cool_down_exceptions: Annotated[
        dict[DistributionName, Reason], Field(examples=[{"pillow": "13.0.1 fixes CVE-2026-1234"}])
    ] = {}
    """Distributions that `cool-down` does not hold for, each with the reason."""
    excludes: Annotated[
        dict[DistributionName, Reason], Field(examples=[{"grpcio": "used only by the server"}])
    ] = {}
    """Distributions that are resolved but left out of the layer, each with the reason."""
    stubs: Annotated[
        dict[DistributionName, Stub],
        Field(examples=[{"overrides": {"path": "stubs/overrides", "reason": "slow"}}]),
    ] = {}
    """Distributions that a small module replaces."""
    prune: Annotated[Prune, Field(default_factory=Prune)]
    """Which files are left out."""
    strip: bool = True
    """Remove symbols and debug sections from ELF files."""
    bytecode: BytecodeMode = BytecodeMode.UNCHECKED_HASH
    """Whether the layer holds bytecode, and which. That of packages holds lines and no columns:
    tracebacks show no carets below their lines."""
    optimize: Annotated[int, Field(ge=0, le=2, examples=[2])] = 0
    """How the bytecode is compiled, as with `python -O`: 1 leaves out assert statements and what
    stands under `if __debug__`, 2 docstrings as well. Packages that read docstrings, or rely on
    asserts, then fail or act otherwise: prove the layer with a smoke file. Needs bytecode."""
    lite_blas: bool = False
    """Replace numpy's OpenBLAS by a small BLAS and LAPACK built from numpy's own sources."""
    environment: Annotated[dict[Variable, str], Field(examples=[{"CFLAGS": "-O2"}])] = {}
    """Variables that builds of local packages and sdists see. Never a secret: it is committed."""
    build: Annotated[
        dict[DistributionName, BuildOptions], Field(examples=[{"numpy": {"version": "2.1.3"}}])
    ] = {}
    """Distributions that are compiled from their sdist, and how."""
    recipes: Annotated[RecipeNames, Field(examples=["all", ["numpy", "pydantic"]])] = []
    """Distributions whose recipes may leave out what costs something: `all`, or a list. What this
    layer says itself wins. See docs/recipes.md."""
    budgets: Annotated[Budgets, Field(default_factory=Budgets)]
    """Limits on size and cold start."""
    keep_provided: Annotated[list[DistributionName], Field(examples=[["urllib3"]])] = []
    """Distributions that go into the layer although the runtime or a managed layer provides them,
    with what must go with them: boto3 with botocore, jmespath and s3transfer. What the layer leaves
    to the runtime is locked in the runtime's version, and a requirement that excludes it is an
    error."""
    licenses: Annotated[Licenses, Field(default_factory=Licenses)]
    """Which licences may be in the zip. A build fails with the distribution and its licence."""
    accept: Annotated[
        dict[FindingName, Reason],
        Field(examples=[{"NEEDED-MISSING python/pkg/_plugin.so": "the plugin is never loaded"}]),
    ] = {}
    """Findings of the audit that are accepted, by code and path (a glob) or, where a finding has no
    path, distribution, each with the reason."""


class LayerSettings(Contents):
    """What a layer says, and what ``defaults`` may say for all of them."""

    runtimes: Runtimes
    """Lambda runtimes to build for. Needed here or in ``defaults``."""
    architectures: Architectures = ["arm64"]
    """Architectures to build for, as AWS spells them."""
    import_exceptions: Annotated[
        dict[ModuleName, Reason], Field(examples=[{"PIL.ImageTk": "needs tkinter"}])
    ] = {}
    """Modules (globs) that cannot be imported by design, each with the reason."""
    forbid_imports: Annotated[list[ModuleName], Field(examples=[["PIL", "onnxruntime"]])] = []
    """Modules that must not be in the layer, nor be loaded by it."""
    managed_layers: Annotated[
        ManagedLayers,
        Field(
            examples=[
                ["AWSSDKPandas-Python313-Arm64"],
                [
                    {
                        "name": "arn:aws:lambda:eu-west-1:123456789012:layer:geo:7",
                        "distributions": {"shapely": "2.1.2", "numpy": "2.3.4"},
                        "unzipped": "60MB",
                    }
                ],
            ]
        ),
    ] = []
    """Layers of AWS or others that functions use beside this one, by ARN or name, of which the
    beginning is enough where the layer has several targets (AWSSDKPandas). What one brings
    is left out of this layer and locked in its version, and a requirement that excludes that
    version is an error; `keep-provided` puts it in all the same. Known are AWSSDKPandas,
    AWSLambdaPowertoolsPythonV3, AWSOpenTelemetryDistroPython and Datadog, with the versions that
    their own build recipes resolve to: another version of the layer may hold others, which are
    written here. Of an unknown one nothing is left out, and `lock` says so. Its zip is not there
    when layers are proven: what this layer needs of it is installed from the package index in the
    locked version, and the proof says so. A canary uses the ARNs of its own region, and imports
    nothing where one is missing."""
    license: Annotated[str | None, Field(max_length=512, examples=["Apache-2.0"])] = None
    """SPDX expression for LicenseInfo of the layer version (AWS: up to 512 characters)."""
    regions: Annotated[list[Region], Field(examples=[["eu-central-1"]]), Distinct] = []
    """Regions to publish to; the first one is where the canary starts."""
    principals: Annotated[
        list[Principal], Field(examples=[["public"], ["o-a1b2c3d4e5", "123456789012"]]), Distinct
    ] = []
    """Who may use the layer: public, organizations, accounts. Accounts are quoted."""
    align: bool = False
    """Give one release the same integer version in every region."""
    storage: StorageMode = StorageMode.COPY
    """Where Lambda has the zip: `copy` in its own storage, of which a region has 300 GB, or
    `reference` in the region's artifact bucket, outside that quota. By reference, only functions
    of the same account can use the layer (no `principals`)."""


class LayerDefaults(LayerSettings):
    """Settings that hold for every layer that does not say otherwise."""

    runtimes: OptionalRuntimes = None  # type: ignore[assignment]
    """Lambda runtimes to build for. Needed in ``defaults`` or in the layer."""


class Fragment(LayerDefaults):
    """Settings that some layers share: any of those that ``defaults`` takes.

    A layer that `extends` a fragment has its settings, and one that extends another fragment has
    those of both. What is nearer to the layer wins: the layer itself, its fragment, what that one
    extends, ``defaults``.
    """

    extends: Annotated[Name | None, Field(examples=["scientific"])] = None
    """Name of another fragment whose settings this one has, unless it sets them itself."""


class Layer(LayerSettings):
    """One layer: these keys, and any of those that ``defaults`` takes."""

    description: Annotated[
        str, Field(min_length=1, max_length=200, examples=["ChromaDB HTTP client"])
    ]
    """What the layer is for; semver and digest are added (AWS: up to 256 characters)."""
    version: Annotated[SemVer, Field(examples=["1.0.0", "2.0.0-rc.1"])]
    """Semantic version of the layer."""
    extends: Annotated[Name | None, Field(examples=["scientific"])] = None
    """Name of the fragment, under ``fragments``, whose settings the layer has, unless it sets them
    itself."""
    requirements: Annotated[
        Requirements,
        Field(
            examples=[
                ["chromadb-client==1.5.9"],
                {"file": "requirements.txt"},
                {"file": "pyproject.toml", "groups": ["lambda"]},
            ]
        ),
    ] = []
    """Distributions asked for (PEP 508), or the file that lists them: a requirements file or a
    pyproject.toml. Markers are judged for the target, never for the host. URLs of wheels, sdists
    and git repositories are taken, too; the lock names the commit."""
    packages: Annotated[list[RelativePath], Field(examples=[["lambdas/common"]]), Distinct] = []
    """Folders of local packages, built through their own pyproject.toml. What they require from a
    workspace or path in [tool.uv.sources] goes into the layer as well, without being listed."""
    extras: Annotated[
        dict[DistributionName, list[ExtraName]], Field(examples=[{"httpx": ["http2"]}])
    ] = {}
    """Extras to add to a requirement or local package."""
    modules: Annotated[
        list[RelativePath], Field(examples=[["shared/", "libs/util.py"]]), Distinct
    ] = []
    """Importable code without a pyproject.toml, by its path beside layers.yaml. A file becomes the
    module of its name (`libs/util.py`: `import util`), a folder with all of its files, whether it
    holds an `__init__.py` or not, the package of its name (`libs/shared/`: `import shared`). Left
    out are `__pycache__`, bytecode and what begins with a dot; the rules of `prune` apply. What it
    imports has to be under `requirements`: `smoke` imports every module, and any failure is a
    problem."""
    files: Annotated[
        dict[LayerPath, RelativePath],
        Field(examples=[{"lib/libodbc.so.2": "native/libodbc.so.2", "etc": "native/etc"}]),
    ] = {}
    """Files and folders that go into the layer as they are: path below /opt -> path beside
    layers.yaml. They are audited like everything else, and never pruned. See
    docs/native-libraries.md."""
    beside: Annotated[
        list[Beside],
        Field(
            examples=[
                ["odbc"],
                [
                    {
                        "arn": "arn:aws:lambda:eu-central-1:123456789012:layer:odbc:4",
                        "libraries": ["libodbc.so.2"],
                    }
                ],
            ]
        ),
    ] = []
    """Layers that every function with this one also uses, and whose libraries it needs. The audit
    takes their libraries as present; the proofs lay the layers of layers.yaml below this one."""
    smoke: Annotated[RelativePath | None, Field(examples=["tests/smoke/imaging.py"])] = None
    """Test file, plain pytest, that is run inside the runtime."""

    @model_validator(mode="after")
    def _holds_something(self) -> Self:
        if self.requirements == [] and not (self.packages or self.modules or self.files):
            raise ValueError("a layer needs requirements, packages, modules or files")
        return self

    @model_validator(mode="after")
    def _has_what_it_optimizes(self) -> Self:
        if self.optimize and self.bytecode is BytecodeMode.NONE:
            raise ValueError("`optimize` is a level of bytecode, and `bytecode` is none")
        return self


class Function(Contents):
    """A function and the layers it uses together.

    They are judged against Lambda's limits: 262,144,000 bytes over all layers and the code, and
    five layers, managed ones included. With ``package: true`` the function's own zip is built
    like a layer, and takes the same keys and those of ``defaults`` that decide its content.
    """

    layers: Annotated[
        list[Name], Field(min_length=1, examples=[["chromadb-vector", "imaging"]])
    ] = []
    """Names of layers, in the order in which Lambda unpacks them. Needed without ``package``."""
    code: Annotated[RelativePath | None, Field(examples=["lambdas/query"])] = None
    """Folder of the function's own code, relative to layers.yaml."""
    handler: Annotated[
        HandlerName, Field(examples=["app.lambda_handler", "src/orders/app.handler"])
    ] = "handler.handler"
    """Its entry point, as AWS writes it: the module below `code`, with dots or slashes, and the
    name that it defines. Where a wrapper from a layer is the handler in AWS, name your own."""
    memory: Annotated[int, Field(ge=128, le=10_240, examples=[1024])] = 512
    """Memory in MB (AWS: 128 to 10,240)."""
    timeout: Annotated[int, Field(ge=1, le=900, examples=[60])] = 30
    """Seconds until Lambda ends an invocation (AWS: 1 to 900)."""
    event: Annotated[RelativePath | None, Field(examples=["lambdas/query/event.json"])] = None
    """Sample event, a JSON file, for the smoke test."""
    package: bool = False
    """Build the function's zip: its code, and those of its `requirements` that neither the runtime
    nor its layers bring, for the runtimes and architectures that its layers have in common where
    it names none. Hidden files and caches in `code` stay out. See
    docs/how-to/function-packages.md."""
    requirements: Annotated[
        Requirements, Field(examples=[["httpx"], {"file": "src/orders/requirements.txt"}])
    ] = []
    """Distributions that the code needs (PEP 508), or the file that lists them."""
    extras: Annotated[
        dict[DistributionName, list[ExtraName]], Field(examples=[{"httpx": ["http2"]}])
    ] = {}
    """Extras to add to a requirement."""

    @model_validator(mode="after")
    def _uses_something(self) -> Self:
        if not self.layers and not self.package:
            raise ValueError("a function needs layers, or `package: true`")
        if self.package and self.code is None:
            raise ValueError("`package: true` needs `code`")
        return self

    @model_validator(mode="after")
    def _is_built_with_what_it_sets(self) -> Self:
        built = {*Contents.model_fields, "requirements", "extras"} & self.model_fields_set
        if built and not self.package:
            raise ValueError(f"only functions with `package: true` take `{kebab(min(built))}`")
        return self


class Config(Model):
    """layers.yaml as a whole."""

    defaults: Annotated[LayerDefaults, Field(default_factory=LayerDefaults)]
    """Settings for every layer that does not say otherwise."""
    fragments: dict[Name, Fragment] = {}
    """Settings that some layers share, by a name that they give under `extends`."""
    layers: Annotated[dict[Name, Layer], Field(min_length=1)]
    """The layers by name."""
    functions: dict[Name, Function] = {}
    """The functions by name."""
    accounts: Annotated[list[Account], Field(examples=[["123456789012"]]), Distinct] = []
    """Accounts that may be published to; verbs of publishing refuse any other before they change
    anything. Empty allows all. Accounts are quoted."""
    advisories: Annotated[AdvisoryPolicy, Field(default_factory=AdvisoryPolicy)]
    """Which known vulnerabilities are accepted; see docs/trust.md."""
    attestations: Annotated[
        Attestations | None,
        Field(examples=[{"repository": "owner/name", "workflow": ".github/workflows/release.yml"}]),
    ] = None
    """Attestations that `publish` and `deploy` verify before their first call of AWS. Without it,
    none are asked for. See docs/trust.md."""
    signing: Annotated[Signing | None, Field(examples=[{"profile": "layersmith"}])] = None
    """Has AWS Signer sign each zip when it is published. Without it, zips are not signed."""
    recipe_folder: Annotated[RelativePath | None, Field(examples=["recipes"])] = None
    """Folder with recipes of your own, one TOML file per distribution; they replace those that
    layersmith brings for the same distribution."""
