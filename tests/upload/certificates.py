"""Certificates for the tests, made by openssl into a folder: a CA, servers' good, expired and of another host, a client's, and one of a stranger's CA."""
import os
import subprocess


def _openssl(*arguments):
    subprocess.run(["openssl", *arguments], check=True, capture_output=True)


def _authority(folder, name):
    path = os.path.join(folder, name)
    _openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", path + ".key", "-out", path + ".pem",
             "-days", "2", "-subj", f"/CN={name}")


def _signed(folder, name, authority, alternative, days):
    path = os.path.join(folder, name)
    with open(path + ".cnf", "w") as file:
        file.write(f"subjectAltName={alternative}\nbasicConstraints=CA:FALSE\n")
    _openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", path + ".key", "-out", path + ".csr",
             "-subj", f"/CN={name}")
    authority = os.path.join(folder, authority)
    _openssl("x509", "-req", "-in", path + ".csr", "-CA", authority + ".pem", "-CAkey", authority + ".key", "-CAcreateserial",
             "-out", path + ".pem", "-days", str(days), "-extfile", path + ".cnf")


def make(folder):
    """Returns {name: (certificate, key)}: ca, good, expired, other_host, client, stranger."""
    os.makedirs(folder, exist_ok=True)
    here = "DNS:localhost,IP:127.0.0.1"
    _authority(folder, "ca")
    _authority(folder, "stranger_ca")
    _signed(folder, "good", "ca", here, 2)
    _signed(folder, "expired", "ca", here, -1)
    _signed(folder, "other_host", "ca", "DNS:elsewhere.example", 2)
    _signed(folder, "client", "ca", "DNS:client", 2)
    _signed(folder, "stranger", "stranger_ca", here, 2)
    return {name: (os.path.join(folder, name + ".pem"), os.path.join(folder, name + ".key"))
            for name in ("ca", "good", "expired", "other_host", "client", "stranger")}
