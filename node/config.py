"""Settings: defaults, then `node.toml`, then `AINODE__SECTION__KEY` in the environment.

The only module that reads the environment. Settings are frozen and passed down; nothing re-reads them.
"""

import os
import tomllib
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, SettingsError

from node.errors import ConfigurationError


def _web_address(value: str) -> str:
    parts = urlsplit(value)
    if value and not (parts.scheme in {"http", "https"} and parts.hostname):
        raise ValueError("it is no address of a web server, such as https://server.example.org")
    return value


Port = Annotated[int, Field(ge=1, le=65535)]
WebAddress = Annotated[str, AfterValidator(_web_address)]
AETitle = Annotated[
    str, Field(min_length=1, max_length=16, pattern=r"^[^\\\x00-\x1f]*[^\\\x00-\x1f ][^\\\x00-\x1f]*$")
]

MANUFACTURER: Final = "AI Node"
"""How this program names itself in DICOM, and knows its own results again."""

LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})


class Section(BaseModel):
    """A table of `node.toml`; a key it does not know is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Dicom(Section):
    """The DICOM listener."""

    host: str = "127.0.0.1"
    port: Port = 11112
    ae_title: AETitle = "AINODE"
    calling_ae_titles: tuple[AETitle, ...] = ()
    """Who may send; empty lets everybody on this machine send, and is refused on other addresses."""
    max_associations: int = Field(32, ge=1)
    max_pdu_bytes: int = Field(1 << 20, ge=16384)
    max_instance_bytes: int = Field(4 << 30, ge=1 << 20)
    """An instance larger than this is refused with 0xA702."""

    @model_validator(mode="after")
    def _strangers_stay_out(self) -> Self:
        if self.host not in LOOPBACK and not self.calling_ae_titles:
            raise ValueError(
                f"host {self.host} is open to the network, so calling_ae_titles must list who may send"
            )
        return self


class Http(Section):
    """The web server."""

    host: str = "127.0.0.1"
    port: Port = 8080
    names: tuple[str, ...] = ()
    """Names by which browsers and programs may call this server, beside those of this machine."""
    certificate: Path | None = None
    """A PEM file with the server's certificate and those it rests on; with it the server speaks HTTPS."""
    key: Path | None = None
    """The PEM file of the certificate's key."""

    @model_validator(mode="after")
    def _certificate_and_key(self) -> Self:
        if (self.certificate is None) != (self.key is None):
            raise ValueError("certificate and key belong together")
        return self


class Access(Section):
    """Who may use the web side."""

    log_in: Literal["none", "local"] = "none"
    """none: everybody on this machine; local: the users of this node, see `ainode users`."""
    session_hours: float = Field(12.0, gt=0)


class Audit(Section):
    """Where the audit trail goes, beside the file in the state folder; an empty host means nowhere."""

    syslog_host: str = ""
    syslog_port: Port = 514


class Ledger(Section):
    """The database; an empty URL means SQLite in the state folder."""

    url: str = ""


class Broker(Section):
    """The message broker; an empty URL means kombu's filesystem transport in the state folder."""

    url: str = ""


class Completion(Section):
    """When a study counts as complete."""

    quiet_seconds: float = Field(5.0, ge=0.1)
    """After the last new instance, where every association was released."""
    interrupted_seconds: float = Field(60.0, ge=0.1)
    """The same where an association broke off, or the node was restarted: the sender may try again."""


class Jobs(Section):
    """How workitems are tried."""

    lease_seconds: float = Field(60.0, ge=1)
    """A worker that is silent for so long has lost its attempt."""
    max_attempts: int = Field(5, ge=1)
    backoff_seconds: float = Field(10.0, ge=0.1)
    """Wait before the second attempt; doubled for each further one, an hour at most."""
    sweep_seconds: float = Field(5.0, ge=0.1)


class Routes(Section):
    """Where the routes are; an empty path means the built-in default route."""

    file: str = ""


class Hub(Section):
    """Where published weights are pulled from; an empty endpoint means the public Hugging Face hub."""

    endpoint: WebAddress = ""
    """Address of a mirror that speaks the hub's layout."""


class Notices(Section):
    """Who is told of an urgent finding, by an HTTP POST; an empty URL means nobody."""

    url: WebAddress = ""
    timeout_seconds: float = Field(10.0, gt=0)


class Photographs(Section):
    """How long photographs of people stay in the spool."""

    keep_hours: float | None = Field(None, ge=0)
    """Hours after the last workitem of a photograph has ended; without it, as long as other images."""


class Destination(Section):
    """A place results go to: DICOMweb, DICOM, or both (then C-STORE is the fallback)."""

    name: str = Field(min_length=1, max_length=64)
    dicomweb_url: str | None = None
    ae_title: AETitle | None = None
    host: str | None = None
    port: Port | None = None
    timeout_seconds: float = Field(30.0, gt=0)

    @model_validator(mode="after")
    def _reachable_somehow(self) -> Self:
        dicom = (self.ae_title, self.host, self.port)
        if any(dicom) and not all(dicom):
            raise ValueError(f"destination {self.name}: ae_title, host and port belong together")
        if not self.dicomweb_url and not all(dicom):
            raise ValueError(f"destination {self.name}: give dicomweb_url, or ae_title, host and port")
        return self


class Settings(BaseSettings):
    """Everything that can be set, frozen."""

    model_config = SettingsConfigDict(
        frozen=True,
        extra="forbid",
        env_prefix="AINODE__",
        env_nested_delimiter="__",
        nested_model_default_partial_update=True,
    )

    state: Path = Path("state")
    """The folder of the database, the spool, the results and the broker."""
    dicom: Dicom = Dicom()
    http: Http = Http()
    access: Access = Access()
    audit: Audit = Audit()
    ledger: Ledger = Ledger()
    broker: Broker = Broker()
    completion: Completion = Completion()
    jobs: Jobs = Jobs()
    routes: Routes = Routes()
    hub: Hub = Hub()
    photographs: Photographs = Photographs()
    notices: Notices = Notices()
    destinations: tuple[Destination, ...] = ()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """The environment wins over the file, whose tables come as keyword arguments."""
        return env_settings, init_settings

    @model_validator(mode="after")
    def _strangers_log_in(self) -> Self:
        if self.http.host not in LOOPBACK and self.access.log_in == "none":
            raise ValueError(
                f"http.host {self.http.host} is open to the network, so access.log_in must say how people "
                'log in, such as "local"'
            )
        if self.http.host not in LOOPBACK and not self.http.names:
            raise ValueError(
                f"http.host {self.http.host} is open to the network, so http.names must list the names by "
                "which this server is called"
            )
        return self

    @model_validator(mode="after")
    def _destinations_have_names_of_their_own(self) -> Self:
        names = [d.name for d in self.destinations]
        if len(set(names)) != len(names):
            raise ValueError(f"destinations share a name: {', '.join(names)}")
        return self

    @cached_property
    def spool(self) -> Path:
        """Received instances."""
        return self.state / "spool"

    @cached_property
    def results(self) -> Path:
        """Encoded results, stored before the first send."""
        return self.state / "results"

    @cached_property
    def quarantine(self) -> Path:
        """Results that the gate stopped."""
        return self.state / "quarantine"

    @cached_property
    def gallery(self) -> Path:
        """Indices of the embeddings in the ledger, made again when they are missing."""
        return self.state / "gallery"

    @cached_property
    def weights(self) -> Path:
        """Weights that were pulled or added."""
        return self.state / "weights"

    @cached_property
    def ledger_url(self) -> str:
        """SQLAlchemy URL of the ledger."""
        return self.ledger.url or f"sqlite:///{(self.state / 'ledger.sqlite').absolute()}"


def load(path: Path | None = None) -> Settings:
    """Read the settings.

    Args:
        path: the TOML file; without it `$AINODE_CONFIG`, else `./node.toml` if there is one.

    Raises:
        ConfigurationError: the file is missing or unreadable, or a value is wrong; each is named.
    """
    named = path or (Path(os.environ["AINODE_CONFIG"]) if os.environ.get("AINODE_CONFIG") else None)
    file = named or Path("node.toml")
    tables = _read(file) if named or file.exists() else {}
    if os.environ.get("AINODE_STATE"):
        tables["state"] = os.environ["AINODE_STATE"]
    try:
        return Settings(**tables)
    except SettingsError as error:
        raise ConfigurationError(f"the environment: {error}; lists and tables there are JSON") from None
    except ValidationError as error:
        lines = "; ".join(
            f"{'.'.join(str(p) for p in e['loc']) or 'settings'}: {_sentence(e)}" for e in error.errors()
        )
        raise ConfigurationError(f"{file if tables else 'the environment'}: {lines}") from None


def _sentence(fault: ErrorDetails) -> str:
    match fault["type"]:
        case "extra_forbidden":
            return "there is no such setting"
        case "string_pattern_mismatch":
            return "an AE title has 1 to 16 characters, no backslash, and is not blank"
        case _:
            return fault["msg"].removeprefix("Value error, ")


def _read(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigurationError(
            f"cannot read {file}: {error.strerror}; give another file with --config"
        ) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{file} is not valid TOML: {error}") from None
