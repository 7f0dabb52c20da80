"""Certificates for tests, signed by themselves: no package here makes them, so the program of that name does."""

import subprocess
from pathlib import Path
from typing import NamedTuple

from tests.support import missing


class CertificateFiles(NamedTuple):
    certificate: Path
    key: Path


def make_certificate(folder: Path, name: str = "localhost") -> CertificateFiles:
    """Write `cert.pem` and `key.pem` for 127.0.0.1 and a name into a folder. Skips the test where openssl is missing."""
    openssl = missing.program("openssl")
    if openssl is None:
        missing.skip("openssl")
    made = CertificateFiles(folder / "cert.pem", folder / "key.pem")
    subject = ["-subj", f"/CN={name}", "-addext", f"subjectAltName=IP:127.0.0.1,DNS:{name}"]
    kind = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "1"]
    files = ["-keyout", str(made.key), "-out", str(made.certificate)]
    subprocess.run([openssl, "req", "-x509", *kind, *subject, *files], check=True, capture_output=True)
    return made
