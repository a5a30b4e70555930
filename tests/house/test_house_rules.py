"""Rules that keep the house in order, as tests with a ratchet."""

import ast
import builtins
from pathlib import Path

import pytest
from tests.conftest import TOGETHER

import headrace

ROOT = Path(__file__).resolve().parents[2]
SOURCES = sorted((ROOT / "src").rglob("*.py"))
FUNCTION_LINES_MAX = 70
FILE_LINES_MAX = 500
#: How many functions and files may be over the limit; these numbers only go down.
LONG_FUNCTIONS_MAX = 0
LONG_FILES_MAX = 0
SAY_NOTHING = {"utils", "helpers", "common", "manager", "misc", "util"}
#: What kernels give back, or tuples of it.
NUMBERS = {"None", "bool", "int", "float", "np.uint64", "Index", "Word", "State"}
DRIVERS = {
    *("confluent_kafka", "boto3", "pyspark", "psycopg", "redis", "fastavro", "google"),
    "opentelemetry",
}


def names_in(path: Path) -> list[str]:
    return [part.lower() for part in path.relative_to(ROOT).with_suffix("").parts]


def imported(tree: ast.Module) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            found.add(node.module.split(".")[0])
    return found


def test_names_say_something() -> None:
    vague = [str(path) for path in SOURCES if SAY_NOTHING & set(names_in(path))]
    assert not vague


def test_functions_stay_short() -> None:
    over = []
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                # what it does, without its signature and docstring
                work = node.body[1:] if ast.get_docstring(node) else node.body
                length = (node.end_lineno or 0) - work[0].lineno + 1 if work else 0
                if length > FUNCTION_LINES_MAX:
                    over.append(f"{path.relative_to(ROOT)}:{node.lineno} {node.name} has {length}")
    assert len(over) <= LONG_FUNCTIONS_MAX, "split:\n" + "\n".join(over)


def test_files_stay_short() -> None:
    over = [
        f"{path.relative_to(ROOT)}: {lines} lines"
        for path in SOURCES
        if (lines := len(path.read_text().splitlines())) > FILE_LINES_MAX
    ]
    assert len(over) <= LONG_FILES_MAX, "split:\n" + "\n".join(over)


def test_drivers_stay_in_adapters() -> None:
    astray = [
        str(path.relative_to(ROOT))
        for path in SOURCES
        if "adapters" not in names_in(path) and imported(ast.parse(path.read_text())) & DRIVERS
    ]
    assert not astray


@pytest.mark.parametrize("package", ["events", "definitions", "engine", "pipeline"])
def test_step_has_no_clock_and_no_dice(package: str) -> None:
    """Time, randomness and ids come in by a seam, so that a replay sees the same."""
    forbidden = {"time", "random", "secrets", "uuid"}
    astray = [
        str(path.relative_to(ROOT))
        for path in (ROOT / "src" / "headrace" / package).rglob("*.py")
        if imported(ast.parse(path.read_text())) & forbidden
    ]
    assert not astray


def test_types_are_decoded_by_decoders_of_modules() -> None:
    """msgspec 0.22 crashes where two threads are the first to decode a class; imports are alone."""
    astray = []
    for path in SOURCES:
        for call in ast.walk(ast.parse(path.read_text())):
            if isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute):
                kinds = [item.value for item in call.keywords if item.arg == "type"]
                converts = ast.unparse(call.func) == "msgspec.convert"
                names = {
                    node.id
                    for kind in kinds
                    for node in ast.walk(kind)
                    if isinstance(node, ast.Name)
                }
                if converts or (call.func.attr == "decode" and names - set(dir(builtins))):
                    astray.append(f"{path.relative_to(ROOT)}:{call.lineno}: {ast.unparse(call)}")
    assert not astray, "make a msgspec Decoder where the module begins"


def test_kernels_give_numbers_back() -> None:
    # nobody counts who refers to an array that a kernel gave back
    others = []
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.FunctionDef) or node.returns is None:
                continue
            if not any(ast.unparse(one).endswith("kernel") for one in node.decorator_list):
                continue
            given = ast.unparse(node.returns).removeprefix("tuple[").removesuffix("]")
            if not {part.strip() for part in given.split(",")} <= NUMBERS:
                others.append(f"{path.relative_to(ROOT)}:{node.lineno} {node.name} gives {given}")
    assert not others


def test_every_public_module_says_what_it_is() -> None:
    silent = [
        str(path.relative_to(ROOT))
        for path in SOURCES
        if path.read_text().strip() and not ast.get_docstring(ast.parse(path.read_text()))
    ]
    assert not silent


def test_type_checkers_know_every_public_name() -> None:
    """What is loaded late is imported for type checkers too, from the same module."""
    told = {
        alias.asname: f"{node.module}"
        for node in ast.walk(ast.parse(Path(headrace.__file__).read_text()))
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
        if alias.asname
    }
    assert told == {name: f"headrace.{place}" for name, place in headrace._PLACES.items()}


def test_files_that_are_kept_together_are_there() -> None:
    assert not [name for name in TOGETHER if not (ROOT / name).is_file()]
