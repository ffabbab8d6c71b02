"""A real OpenTelemetry Collector: it takes Splunk's protocol with acknowledgement, and sends it, in code of others.

``main.go`` is a collector of its own published components, at the versions of ``go.mod``; Go's own proxy brings them
into the cache, where it is built once. ``go.sum`` holds their checksums, so a build asks nobody else about them.

What it guarantees, as its source says (versions as above):

- ``splunkhecreceiver`` hands a request on before it answers, and gives an ``ackId`` that is acknowledged already. With
  no queue or batch processor in the pipeline, the file exporter has then written the events.
- ``fileexporter`` writes through a buffer that is flushed each second: a kill would lose what it acknowledged. With
  ``rotation`` it writes through nothing but the system call. It never syncs, so a power cut may lose what a kill may
  not.
- ``ackextension`` keeps ids in memory, by channel, counts from 1, and says ``true`` once.
- It knows no token and no index, refuses a request whole where Splunk takes what is before the bad event, reads
  numbers as floating point and orders keys by name. By default it closes each connection after its answer.
"""

import hashlib
import signal
import subprocess
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from tests.peers import Growing, PeerProcess, Program, accepts, free_port
from tests.peers.golang import built

Json = dict[str, Any]
VERSION = "0.140.1"
FILES = Path(__file__).parent
_SOURCES = ("main.go", "go.mod", "go.sum")
_MESSAGE = b'{"resourceLogs":['


def find_otel_collector() -> Path:
    """Find the program in the cache, or build it, which takes some two minutes; skip where Go is missing."""
    sources = hashlib.sha256(b"".join((FILES / name).read_bytes() for name in _SOURCES)).hexdigest()
    return built(f"otel-collector-{VERSION}-{sources[:12]}", "the OpenTelemetry Collector", _step) / "otel-collector"


def _step(go: str, into: Path) -> tuple[list[str], dict[str, str]]:
    proxies = subprocess.run([go, "env", "GOPROXY"], capture_output=True, text=True, timeout=60, check=True).stdout
    # What no proxy has is missing at once; fetching it from its source might be waited for in vain.
    proxies = proxies.strip().removesuffix("direct").rstrip(",|") or "off"
    command = [go, "build", "-C", str(FILES), "-ldflags=-s -w", "-o", str(into / "otel-collector"), "."]
    return command, {"GOPROXY": proxies, "GOFLAGS": "-buildvcs=false -mod=readonly"}


@dataclass(frozen=True, slots=True)
class Stored:
    """One event in the collector's file: what it holds, its time (nanoseconds), and what came with it."""

    event: Any
    time: int
    attributes: Json


class OtelCollector(Program):
    """One collector in *folder*, on one loopback port, that writes what it is sent to a file.

    :param keep_alive: whether it keeps connections; by its default it does not
    :ivar torn: writes in the file that a kill cut off
    """

    def __init__(self, folder: Path, *, acknowledgement: bool = True, keep_alive: bool = False) -> None:
        self.port = free_port()
        self.file = folder / "otel-collector.json"
        self.torn = 0
        self._folder = folder
        self._program = find_otel_collector()
        self._configuration = folder / "otel-collector-configuration.json"
        configuration = receiving(self.port, self.file, acknowledgement=acknowledgement, keep_alive=keep_alive)
        self._configuration.write_bytes(orjson.dumps(configuration))
        self._stored: list[Stored] = []
        self._indexed: Counter[str] = Counter()
        self._growing = Growing(self.file)

    @property
    def url(self) -> str:
        """What a sink is configured with."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def running(self) -> bool:
        """Whether it runs."""
        return self._process is not None and self._process.process.poll() is None

    def start(self, inside: Sequence[str] = ()) -> None:
        """Start it on the file that it has, and wait until it listens; *inside* is put before the command."""
        command: list[str | Path] = [*inside, self._program, "--config", self._configuration]
        self._process = PeerProcess(command, self._folder / "otel-collector.log")
        self._process.wait_until(lambda: accepts(self.port))

    @property
    def program(self) -> PeerProcess:
        """The program that was started last."""
        assert self._process is not None
        return self._process

    def freeze(self) -> None:
        """Take its processor away: its connections stay, and nothing answers."""
        self.program.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on; nothing happens to one that has ended."""
        self.program.process.send_signal(signal.SIGCONT)

    def stored(self) -> list[Stored]:
        """List every event in the file, in its order; what was read before is not read again."""
        for line in self._growing.more():
            self._take(line)
        return self._stored

    def indexed(self) -> Counter[str]:
        """How often each log id is in the file."""
        known = self._indexed.total()
        self._indexed.update(one.attributes["log_id"] for one in self.stored()[known:])
        return self._indexed

    def _take(self, line: bytes) -> None:
        """Take the messages of one line: after a write that a kill cut off, the next one follows on the same line."""
        # Within a message the quotes of this beginning would be escaped.
        before, *messages = line.split(_MESSAGE)
        self.torn += bool(before)
        for rest in messages:
            try:
                message = orjson.loads(_MESSAGE + rest)
            except orjson.JSONDecodeError:
                self.torn += 1  # a test holds these against its kills
                continue
            self._stored.extend(_events(message))


def _events(message: Json) -> list[Stored]:
    """Read one message of OTLP in JSON (https://opentelemetry.io/docs/specs/otlp/#json-protobuf-encoding)."""
    return [
        Stored(
            _value(record["body"]),
            int(record["timeUnixNano"]),
            _object(logs["resource"].get("attributes", [])) | _object(record.get("attributes", [])),
        )
        for logs in message["resourceLogs"]
        for scope in logs["scopeLogs"]
        for record in scope["logRecords"]
    ]


def _object(pairs: list[Json]) -> Json:
    return {pair["key"]: _value(pair["value"]) for pair in pairs}


def _value(value: Json) -> Any:
    if not value:
        return None
    ((kind, held),) = value.items()
    if kind == "kvlistValue":
        return _object(held.get("values", []))
    if kind == "arrayValue":
        return [_value(one) for one in held.get("values", [])]
    if kind == "intValue":
        return int(held)
    # The receiver reads every number as floating point.
    return int(held) if kind == "doubleValue" and float(held).is_integer() else held


def receiving(port: int, file: Path, *, acknowledgement: bool, keep_alive: bool) -> Json:
    """Configure a collector that takes Splunk's protocol and writes the events to *file* before it answers."""
    receiver: Json = {"endpoint": f"127.0.0.1:{port}", "keep_alives_enabled": keep_alive}
    if acknowledgement:
        receiver["ack"] = {"extension": "ack"}
    # Rotation, at a size that is never reached, is what takes the buffer away.
    exporter = {"path": str(file), "rotation": {"max_megabytes": 1_000_000}}
    return _pipeline("splunk_hec", receiver, "file", exporter, {"ack": {}} if acknowledgement else {})


def relaying(source: Path, url: str | None, *, batch: int) -> Json:
    """Configure a collector that reads events, a line each, from *source*, and sends them to *url* as our sink does.

    Without a *url* it only reads and parses them.
    """
    receiver = {
        "include": [str(source)],
        "include_file_name": False,
        "start_at": "beginning",
        "poll_interval": "50ms",
        "max_log_size": "5MiB",
        "resource": {"host.name": "org_1"},
        "operators": [
            {
                "type": "json_parser",
                "parse_to": "body",
                "timestamp": {
                    "parse_from": "body.occurred_at",
                    "layout_type": "gotime",
                    "layout": "2006-01-02T15:04:05.000Z07:00",
                },
            },
            {"type": "copy", "from": "body.id", "to": "attributes.log_id"},
        ],
    }
    exporter = {
        "endpoint": f"{url}/services/collector/event",
        "token": "t" * 36,
        "source": "persona",
        "sourcetype": "persona:user_audit_log",
        "max_content_length_logs": 1 << 20,
        "sending_queue": {
            "sizer": "items",
            "queue_size": 20 * batch,
            "block_on_overflow": True,
            "num_consumers": 4,
            "batch": {"min_size": batch, "max_size": batch, "flush_timeout": "200ms"},
        },
    }
    return _pipeline("filelog", receiver, *(("nop", {}) if url is None else ("splunk_hec", exporter)), {})


def _pipeline(receiver: str, receives: Json, exporter: str, exports: Json, extensions: Json) -> Json:
    return {
        "extensions": extensions,
        "receivers": {receiver: receives},
        "exporters": {exporter: exports},
        "service": {
            "extensions": list(extensions),
            "telemetry": {"metrics": {"level": "none"}, "logs": {"level": "warn"}},
            "pipelines": {"logs": {"receivers": [receiver], "exporters": [exporter]}},
        },
    }
