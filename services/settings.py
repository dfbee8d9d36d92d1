"""What an operator can set, from CLINIMM_* in the environment or options of the command; every default is safe."""

from pathlib import Path
from typing import Any, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict, SettingsError
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

from clinimm.errors import ConfigError
from clinimm.io.sandbox_process import Confinement
from clinimm.io.scan_types import Limits as ScanLimits
from clinimm.io.text import MAX_CHARACTERS
from clinimm.registry import Entry, Registry, digest_of

PREFIX = "CLINIMM_"
MIB = 1024 * 1024
HEAD_BYTES = 64 * 1024  # of a request line and its header fields; beyond it the server hangs up
UNNAMED_TENANT = "default"  # of who has not said which it is
LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})


class Pace(NamedTuple):
    """Seconds without a change after which a case counts as quiet, and the most that it is waited for."""

    quiet: float
    cap: float


class Limits(BaseModel):
    """The most that one request may bring. Each is said in the API's document, in `/v1/capabilities` and in the problem
    of what is over it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    request_bytes: int = Field(1024 * MIB, gt=0, description="bytes of a multipart body")
    header_bytes: int = Field(32 * 1024, gt=0, le=HEAD_BYTES // 2, description="bytes of all header fields")
    key_chars: int = Field(255, gt=0, le=255, description="characters of an Idempotency-Key")
    parts: int = Field(1210, gt=0, description="parts of a body")
    part_bytes: int = Field(256 * MIB, gt=0, description="bytes of an image part")
    images: int = Field(1200, gt=0, description="images of a request, sent or referred to")
    image_pixels: int = Field(1 << 26, gt=0, description="rows times columns of an image")
    image_frames: int = Field(1 << 14, gt=0, description="frames of an image")
    case_bytes: int = Field(2 * MIB, gt=0, description="bytes of the JSON of a case, or of its inputs")
    small_json_bytes: int = Field(64 * 1024, gt=0, description="bytes of any other JSON")
    json_depth: int = Field(8, gt=0, description="arrays and objects within each other")
    note_chars: int = Field(100_000, gt=0, le=MAX_CHARACTERS, description="characters of a note")
    labs: int = Field(500, gt=0, description="laboratory values of a request")

    @property
    def confinement(self) -> Confinement:
        """What a child process may open."""
        most = ScanLimits(frame_pixels=self.image_pixels, frames=self.image_frames, file_bytes=self.part_bytes)
        return Confinement(limits=most)


class Settings(BaseSettings):
    """`data` holds the files and, by default, the SQLite database. `tokens_file` turns authentication on. `registry` is
    the folder that `clinimm promote` keeps: its current artifact answers, unless `artifact` names another; one that was
    not promoted there needs `allow_unpromoted`. What answers is settled at the start: restart to take a promotion or a
    rollback. `backbone` is where the artifact's backbone lies, if the artifact needs one and it has moved.
    A case that changes within `debounce_cap_seconds` of its last diagnosis is diagnosed again once nothing came for
    `debounce_seconds`, or when the cap is over. `decoders` are the child processes that open files at the door, and
    `uploads` the requests that may bring some at once, each of which is waited for `patience_seconds`, and
    longer by a second for every 64 KiB that came.
    `reserve_bytes` of room in `data` are kept for recording what is refused once there is no other room.
    `features_bytes` is what workers may keep of what they found in films and notes, so that a value that comes late
    costs no second look at them.
    `heads` is the folder where workers keep the signed ends of the chain of events and the key they are signed with, by
    default `heads` in `data`: better where whoever can write the database cannot write.
    `tenant` is whose the cases are, as every event tells: one database is of one, and says no to another.
    `vectors` is how similar cases are searched: "exact" compares every vector, "pgvector" asks PostgreSQL's extension;
    set it alike for the API and its workers."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_nested_delimiter="__", extra="ignore", frozen=True, validate_default=True
    )

    data: Path = Path("clinimm-data")
    registry: Path | None = None
    artifact: Path | None = None
    allow_unpromoted: bool = False
    backbone: Path | None = None
    database_url: str = ""
    database_password_file: Path | None = None
    host: str = "127.0.0.1"
    port: int = Field(8080, ge=0, le=65535)
    tokens_file: Path | None = None
    limits: Limits = Limits()
    queue_limit: int = Field(10_000, ge=1)
    heartbeat_seconds: float = Field(2.0, gt=0)
    lease_seconds: float = Field(15.0, gt=0)
    drain_seconds: int = Field(25, ge=1)
    poll_seconds: float = Field(0.1, gt=0)
    debounce_seconds: float = Field(4.0, ge=0)
    debounce_cap_seconds: float = Field(60.0, gt=0)
    decoders: int = Field(2, ge=1)
    uploads: int = Field(64, ge=1)
    patience_seconds: float = Field(30.0, gt=0)
    threads: int = Field(1, ge=1)
    device: str = "cpu"
    reserve_bytes: int = Field(32 * MIB, ge=0)
    features_bytes: int = Field(4 * 1024 * MIB, ge=0)
    heads: Path | None = None
    tenant: str = Field(UNNAMED_TENANT, pattern=r"^[A-Za-z0-9._-]{1,64}$")
    vectors: Literal["exact", "pgvector"] = "exact"

    @property
    def heads_folder(self) -> Path:
        return self.heads or self.data / "heads"

    @property
    def pace(self) -> Pace:
        return Pace(self.debounce_seconds, self.debounce_cap_seconds)

    @property
    def url(self) -> str:
        """The database's URL; where none is set, a SQLite file inside `data`. Raises ConfigError."""
        if not self.database_url:
            return f"sqlite:///{self.data.resolve() / 'clinimm.db'}"
        try:
            url = make_url(self.database_url)
        except ArgumentError:  # it quotes the URL, password and all
            raise ConfigError("is not a URL", where="--database-url", mend="postgresql://user@host/name") from None
        if url.get_backend_name() == "postgresql":
            url = url.set(drivername="postgresql+psycopg")
        if self.database_password_file is not None:
            url = url.set(password=_secret(self.database_password_file))
        return url.render_as_string(hide_password=False)

    @property
    def model(self) -> Path:
        """The directory of the artifact that answers. Raises ConfigError where none is named, or where it was not
        promoted, ArtifactError for a registry without one or that was tampered with."""
        if self.artifact is None and self.registry is None:
            raise ConfigError(
                "no model is named", where="--registry", mend="give the folder that `clinimm promote` keeps"
            )
        place = self.artifact or Registry(self.registry or Path()).current_place()
        if self.promotion(digest_of(place)) is None and not self.allow_unpromoted:
            raise ConfigError(
                "the artifact was not promoted, or was rolled back",
                where=str(place),
                mend="promote it with `clinimm promote` and give --registry, or say --allow-unpromoted",
            )
        return place

    def promotion(self, digest: str) -> Entry | None:
        """The entry of the registry that let an artifact answer; None if there is none."""
        return None if self.registry is None else Registry(self.registry).promotion(digest)

    def check_exposure(self) -> None:
        """Raises ConfigError if anyone on the network could call an API without a token."""
        if self.tokens_file is None and self.host not in LOOPBACK:
            raise ConfigError(
                "authentication is off and the address is not loopback",
                where="--host",
                mend="add a client with `clinimm-service token NAME --tokens FILE` and set --tokens, or bind 127.0.0.1",
            )


def settings(**given: Any) -> Settings:
    """The settings, options that were given coming before the environment. Raises ConfigError that lists every fault,
    by the name in the environment, and never what was set, which may be a password."""
    try:
        return Settings(**{name: value for name, value in given.items() if value is not None})
    except ValidationError as error:
        faults = {"__".join(map(str, fault["loc"])).upper(): fault["msg"] for fault in error.errors()}
    except SettingsError:
        faults = {"LIMITS": "is not JSON; set one limit alone as CLINIMM_LIMITS__IMAGES"}
    listed = "\n".join(f"  {PREFIX}{name}: {told}" for name, told in faults.items())
    raise ConfigError(f"{len(faults)} setting(s) cannot be used\n{listed}", mend="mend the variable, or its option")


def _secret(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").strip()
    except OSError as error:
        raise ConfigError(
            "the secret cannot be read", where=str(path), mend="mount it where the service may read"
        ) from error
