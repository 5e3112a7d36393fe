"""Renders the Helm chart with several values and holds what comes out, and KServe's runtime, against the schemas of
Kubernetes and of KServe's own package; checks what the files promise. Needs PyPI's `helm-python-sdk`, `kserve` and
`kubernetes-validate`."""

import pathlib
import re

import helm_python
import kserve
import kubernetes.client
import kubernetes_validate
import yaml

DEPLOY = pathlib.Path(__file__).resolve().parents[1]
CHART = DEPLOY / "helm" / "modelyard"
# The oldest that is promised, and the newest whose schema is here.
VERSIONS = ("1.30", kubernetes_validate.latest_version())


def documents(values):
    with helm_python.Chart.load(CHART) as chart:
        rendered = chart.render(values=values, name="demo")
    found = [one for text in rendered.values() for one in yaml.safe_load_all(text) if one]
    return {one["kind"]: one for one in found}


def valid(document):
    for version in VERSIONS:
        kubernetes_validate.validate(document, version, strict=True)


def check_pod(spec):
    """Not root, nothing to write but the store, no privileges, and time to end."""
    [container] = spec["containers"]
    assert spec["securityContext"]["runAsNonRoot"] is True
    security = container["securityContext"]
    assert security["readOnlyRootFilesystem"] is True and security["allowPrivilegeEscalation"] is False
    assert security["capabilities"] == {"drop": ["ALL"]}
    pause = container["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert spec["terminationGracePeriodSeconds"] > pause + 30, "the server takes up to 30 s to end"
    assert container["readinessProbe"]["httpGet"]["path"] == "/v2/health/ready"
    assert container["livenessProbe"]["httpGet"]["path"] == "/v2/health/live"


def check_chart():
    plain = documents({})
    assert set(plain) == {"Deployment", "Service", "PodDisruptionBudget"}, sorted(plain)
    queue = {"enabled": True, "queueMetric": "modelyard_queue_seconds_p99"}
    options = {"options": ["--model", "digits", "--batch-size-max", "32"], "store": {"subPath": "a"}}
    folder = {"options": ["--models", "/store"], "store": {"readOnly": True}}
    for values in ({}, options, folder, {"autoscaling": {"enabled": True}}, {"autoscaling": queue}):
        rendered = documents(values)
        for document in rendered.values():
            valid(document)
        check_pod(rendered["Deployment"]["spec"]["template"]["spec"])
    scaled = documents({"autoscaling": queue})
    assert scaled["HorizontalPodAutoscaler"]["spec"]["metrics"][0]["pods"]["metric"]["name"] == queue["queueMetric"]
    assert "replicas" not in scaled["Deployment"]["spec"], "the autoscaler decides"
    pod = documents(folder)["Deployment"]["spec"]["template"]["spec"]
    assert pod["volumes"][0]["persistentVolumeClaim"]["readOnly"] is True
    assert pod["containers"][0]["volumeMounts"][0]["readOnly"] is True
    [container] = documents(options)["Deployment"]["spec"]["template"]["spec"]["containers"]
    assert container["args"] == ["serve", *options["options"]], container["args"]


def known(value, kind, place):
    """Whether KServe's and Kubernetes' Python packages know each field of a document, all the way down."""
    if inner := re.fullmatch(r"[Ll]ist\[(.+)\]", kind):
        for at, one in enumerate(value):
            known(one, inner[1], f"{place}[{at}]")
    elif inner := re.fullmatch(r"dict\(str, (.+)\)|Dict\[str, (.+)\]", kind):
        for key, one in value.items():
            known(one, inner[1] or inner[2], f"{place}.{key}")
    elif model := getattr(kserve, kind, None) or getattr(kubernetes.client, kind, None):
        fields = {outside: inside for inside, outside in model.attribute_map.items()}
        for key, one in value.items():
            assert key in fields, f"{place} has no {key}"
            known(one, model.openapi_types[fields[key]], f"{place}.{key}")
    elif kind in ("str", "int", "bool"):
        assert type(value).__name__ == kind, (place, value, kind)
    else:
        assert kind == "object", (place, kind)


def check_kserve():
    """By the types of KServe's package, and its containers once more as a pod's by Kubernetes' schemas."""
    runtime = yaml.safe_load((DEPLOY / "kserve" / "serving-runtime.yaml").read_text())
    assert (runtime["kind"], runtime["apiVersion"]) == ("ClusterServingRuntime", "serving.kserve.io/v1alpha1")
    known(runtime, "V1alpha1ClusterServingRuntime", "runtime")
    spec = {"containers": runtime["spec"]["containers"]}
    valid({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "as-kserve-makes-it"}, "spec": spec})
    [container] = spec["containers"]
    assert container["name"] == "kserve-container", "the name that KServe looks for"


check_chart()
check_kserve()
print(f"deploy: all well, by Kubernetes {' and '.join(VERSIONS)}")
