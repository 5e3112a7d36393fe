"""Schemathesis over our own OpenAPI document: made-up requests of every kind to every route must be answered
by what the document says. Usage: openapi.py HOST:PORT DOCUMENT EXAMPLES"""

import pathlib
import subprocess
import sys
import tempfile

ADDRESS, DOCUMENT, EXAMPLES = sys.argv[1:]
# 5xx are answers too where they are documented: a deadline that is too short, a model that was unloaded.
CHECKS = ",".join(
    [
        "status_code_conformance",
        "content_type_conformance",
        "response_headers_conformance",
        "response_schema_conformance",
        "unsupported_method",
    ]
)


def main():
    program = pathlib.Path(sys.executable).with_name("schemathesis")
    document = str(pathlib.Path(DOCUMENT).resolve())
    command = [program, "run", document, "--url", f"http://{ADDRESS}", "--checks", CHECKS]
    command += ["--max-examples", EXAMPLES, "--phases", "examples,coverage,fuzzing", "--seed", "1"]
    command += ["--no-color", "--generation-database", "none", "--request-timeout", "20"]
    with tempfile.TemporaryDirectory() as notes:
        said = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
        ended = subprocess.run(command, cwd=notes, check=False, **said)
    print(ended.stdout[-20_000:])
    sys.exit(ended.returncode)


main()
