"""Schemathesis over our own OpenAPI document: made-up requests of every kind to every route must be answered
by what the document says, and never by 500. Half of them name models that are served.
Usage: openapi.py HOST:PORT DOCUMENT EXAMPLES"""

import json
import pathlib
import subprocess
import sys
import tempfile
import urllib.request

ADDRESS, DOCUMENT, EXAMPLES = sys.argv[1:]
CHECKS = ",".join(
    [
        "not_a_server_error",
        "status_code_conformance",
        "content_type_conformance",
        "response_headers_conformance",
        "response_schema_conformance",
        "unsupported_method",
    ]
)
# Answers, too, where they are documented: not supported, a model that was unloaded, a deadline too short.
SETTINGS = """
[checks]
not_a_server_error.expected-statuses = ["2xx", "3xx", "4xx", 501, 503, 504]
"""
UNLOAD = "/v2/repository/models/{model}/unload"


def served():
    """The names of the models that the server has."""
    with urllib.request.urlopen(f"http://{ADDRESS}/v1/models", timeout=20) as answer:
        return json.load(answer)["models"]


def with_names(document, names):
    """The document with names in it that lead to models: without them nearly all requests would end at 404."""
    real = {"model": names, "version": ["1", "live"], "target": [*names, f"{names[0]}:predict", "1", "1:predict"]}
    for path, operations in document["paths"].items():
        for operation in operations.values():
            for parameter in operation.get("parameters", []):
                known = real.get(parameter["name"]) if parameter["in"] == "path" else None
                if known:
                    # Of all models one may be gone for a while, so that the others go on being asked.
                    known = names[-1:] if path == UNLOAD else known
                    parameter["schema"] = {"anyOf": [{"enum": known}, parameter["schema"]]}
    return document


def main():
    program = pathlib.Path(sys.executable).with_name("schemathesis")
    document = with_names(json.loads(pathlib.Path(DOCUMENT).read_text()), served())
    with tempfile.TemporaryDirectory() as notes:
        folder = pathlib.Path(notes)
        (folder / "openapi.json").write_text(json.dumps(document))
        (folder / "schemathesis.toml").write_text(SETTINGS)
        command = [program, "--config-file", "schemathesis.toml", "run", "openapi.json"]
        command += ["--url", f"http://{ADDRESS}", "--checks", CHECKS, "--max-examples", EXAMPLES]
        command += ["--phases", "examples,coverage,fuzzing", "--seed", "1", "--request-timeout", "20"]
        command += ["--no-color", "--generation-database", "none"]
        said = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
        ended = subprocess.run(command, cwd=notes, check=False, **said)
    print(ended.stdout[-20_000:])
    sys.exit(ended.returncode)


main()
