"""The manifests keep what deploy/kubernetes/README.md says of them; every claim is read out of the YAML itself."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from forwarder import __version__
from forwarder.settings import Settings, load
from forwarder.units import parse_duration

DIRECTORY = Path(__file__).parents[2] / "deploy" / "kubernetes"
NAME = "app.kubernetes.io/name"


def documents() -> Iterator[dict[str, Any]]:
    for path in sorted(DIRECTORY.glob("*.yaml")):
        for document in yaml.safe_load_all(path.read_text(encoding="utf-8")):
            assert isinstance(document, dict), path
            yield document


def only(kind: str) -> dict[str, Any]:
    found = [document for document in documents() if document["kind"] == kind]
    assert len(found) == 1, f"{len(found)} of {kind}"
    return found[0]


def pod() -> dict[str, Any]:
    spec = only("Deployment")["spec"]["template"]["spec"]
    assert isinstance(spec, dict)
    return spec


def container() -> dict[str, Any]:
    (first,) = pod()["containers"]
    assert isinstance(first, dict)
    return first


def environment() -> dict[str, str]:
    return {variable["name"]: variable["value"] for variable in container()["env"]}


def settings(tmp_path: Path) -> Settings:
    """The configuration that the pod would have: the secrets' files are made, as the kubelet would."""
    mounted = next(mount["mountPath"] for mount in container()["volumeMounts"] if mount["name"] == "secrets")
    environ = environment()
    for name, value in environ.items():
        if name.endswith("_FILE") and value.startswith(mounted):
            secret = tmp_path / Path(value).name
            secret.write_text("not-a-secret-of-anybody\n", encoding="utf-8")
            environ[name] = str(secret)
    return load(environ)


def test_the_kustomization_lists_every_manifest_and_no_other() -> None:
    listed = only("Kustomization")["resources"]
    present = {path.name for path in DIRECTORY.glob("*.yaml")} - {"kustomization.yaml"}
    assert sorted(listed) == sorted(present)


def test_the_kustomization_names_this_version_of_the_image() -> None:
    (image,) = only("Kustomization")["images"]
    assert image["name"] == container()["image"]
    assert image["newTag"] == __version__


def test_the_forwarder_accepts_the_environment_of_the_pod(tmp_path: Path) -> None:
    loaded = settings(tmp_path)
    assert [sink.kind for sink in loaded.sinks] == ["splunk_hec"]


def test_no_secret_is_in_the_environment_of_the_pod() -> None:
    """Secrets are files of a mounted Secret; a variable of the pod would show them to whoever may read pods."""
    assert all("value" in variable for variable in container()["env"])
    secrets = [name for name in environment() if name.endswith(("_API_KEY", "_TOKEN", "_PASSWORD", "_SECRET", "_KEY"))]
    assert secrets == []
    assert {"FORWARDER_PERSONA_API_KEY_FILE", "FORWARDER_SOC_TOKEN_FILE"} <= set(environment())


def test_a_secret_is_mounted_whole_so_that_a_rotated_one_arrives() -> None:
    (mount,) = [mount for mount in container()["volumeMounts"] if mount["name"] == "secrets"]
    assert "subPath" not in mount
    (volume,) = [volume for volume in pod()["volumes"] if volume["name"] == "secrets"]
    assert volume["secret"]["defaultMode"] == 0o440


def test_one_replica_lets_go_of_the_volume_before_the_next_one_asks() -> None:
    spec = only("Deployment")["spec"]
    assert spec["replicas"] == 1
    assert spec["strategy"] == {"type": "Recreate"}
    assert only("PersistentVolumeClaim")["spec"]["accessModes"] == ["ReadWriteOncePod"]


def test_the_journal_is_on_the_claimed_volume(tmp_path: Path) -> None:
    state = settings(tmp_path).state
    (mount,) = [mount for mount in container()["volumeMounts"] if mount["name"] == "state"]
    assert state.path.is_relative_to(mount["mountPath"])
    (volume,) = [volume for volume in pod()["volumes"] if volume["name"] == "state"]
    assert volume["persistentVolumeClaim"]["claimName"] == only("PersistentVolumeClaim")["metadata"]["name"]


def test_the_volume_holds_the_backlog_twice(tmp_path: Path) -> None:
    storage = only("PersistentVolumeClaim")["spec"]["resources"]["requests"]["storage"]
    assert storage.endswith("Gi")
    assert int(storage.removesuffix("Gi")) * 2**30 >= 2 * settings(tmp_path).state.max_bytes


def test_the_cluster_waits_longer_than_a_graceful_stop_takes(tmp_path: Path) -> None:
    assert pod()["terminationGracePeriodSeconds"] >= settings(tmp_path).shutdown_grace + 10


def test_the_pod_passes_the_restricted_pod_security_standard() -> None:
    """Its rules, one by one, for the fields of https://kubernetes.io/docs/concepts/security/pod-security-standards/."""
    spec, one = pod(), container()
    assert "initContainers" not in spec
    for shared in ("hostNetwork", "hostPID", "hostIPC"):
        assert not spec.get(shared, False)
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["runAsUser"] == 10001
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert one["securityContext"]["allowPrivilegeEscalation"] is False
    assert one["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert not one["securityContext"].get("privileged", False)
    assert all("hostPort" not in port for port in one["ports"])
    allowed = {
        "configMap",
        "csi",
        "downwardAPI",
        "emptyDir",
        "ephemeral",
        "persistentVolumeClaim",
        "projected",
        "secret",
    }
    for volume in spec["volumes"]:
        assert set(volume) - {"name"} <= allowed
    assert only("Namespace")["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"


def test_the_root_file_system_is_read_only_and_the_pod_has_no_rights_in_the_cluster() -> None:
    spec = pod()
    assert container()["securityContext"]["readOnlyRootFilesystem"] is True
    assert spec["automountServiceAccountToken"] is False
    assert spec["enableServiceLinks"] is False
    assert spec["serviceAccountName"] == only("ServiceAccount")["metadata"]["name"]
    assert not [document["kind"] for document in documents() if "Role" in document["kind"]]


def test_the_user_is_the_one_of_the_image_and_may_write_to_the_volume() -> None:
    dockerfile = (DIRECTORY.parents[1] / "Dockerfile").read_text(encoding="utf-8")
    security = pod()["securityContext"]
    assert f"USER {security['runAsUser']}:{security['runAsGroup']}" in dockerfile
    assert security["fsGroup"] == security["runAsGroup"]


@pytest.mark.parametrize(
    ("probe", "path"), [("startupProbe", "/livez"), ("livenessProbe", "/livez"), ("readinessProbe", "/readyz")]
)
def test_a_probe_asks_the_page_that_answers_its_question(probe: str, path: str) -> None:
    ports = {port["name"]: port["containerPort"] for port in container()["ports"]}
    asked = container()[probe]["httpGet"]
    assert asked["path"] == path
    assert ports[asked["port"]] == int(environment()["FORWARDER_HTTP_PORT"])


def test_a_slow_start_is_not_a_dead_daemon_and_a_short_stall_neither() -> None:
    startup, liveness = container()["startupProbe"], container()["livenessProbe"]
    assert startup["periodSeconds"] * startup["failureThreshold"] >= 300
    assert liveness["periodSeconds"] * liveness["failureThreshold"] >= 60


def test_memory_is_bounded_and_the_processor_is_not() -> None:
    resources = container()["resources"]
    assert set(resources["requests"]) == {"cpu", "memory"}
    assert set(resources["limits"]) == {"memory"}


def test_the_service_publishes_a_forwarder_that_is_not_ready() -> None:
    """Its metrics and status are wanted most then."""
    service = only("Service")["spec"]
    assert service["publishNotReadyAddresses"] is True
    assert service["selector"] == only("Deployment")["spec"]["selector"]["matchLabels"]
    assert service["selector"].items() <= only("Deployment")["spec"]["template"]["metadata"]["labels"].items()


def test_the_service_monitor_scrapes_the_metrics_of_that_service() -> None:
    monitor = only("ServiceMonitor")["spec"]
    (endpoint,) = monitor["endpoints"]
    assert endpoint["path"] == "/metrics"
    assert endpoint["port"] in {port["name"] for port in only("Service")["spec"]["ports"]}
    assert monitor["selector"]["matchLabels"].items() <= only("Service")["metadata"]["labels"].items()
    assert parse_duration(endpoint["scrapeTimeout"]) < parse_duration(endpoint["interval"])


def test_the_network_policy_lets_in_monitoring_alone_and_out_to_what_sinks_use() -> None:
    policy = only("NetworkPolicy")["spec"]
    assert policy["podSelector"]["matchLabels"].items() <= only("Deployment")["metadata"]["labels"].items()
    assert sorted(policy["policyTypes"]) == ["Egress", "Ingress"]
    (ingress,) = policy["ingress"]
    assert ingress["ports"] == [{"port": 8080, "protocol": "TCP"}]
    assert ingress["from"] == [
        {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}},
    ]
    out = {
        (port["protocol"], number)
        for rule in policy["egress"]
        for port in rule["ports"]
        for number in range(port["port"], port.get("endPort", port["port"]) + 1)
    }
    names = {("UDP", 53), ("TCP", 53)}
    persona_and_splunk = {("TCP", 443), ("TCP", 8088)}
    kafka = {("TCP", 9092), ("TCP", 9093), ("TCP", 9094)}
    syslog = {("UDP", 514), ("TCP", 514), ("TCP", 6514), ("TCP", 2514)}
    assert out == names | persona_and_splunk | kafka | syslog
