"""What docker/ and deploy/kubernetes say, against Kubernetes' schemas, against each other and against the server.

That the server takes the settings in them is tested where it reads them: src/config/tests.rs.
"""
import os
import pathlib
import re
import subprocess
import sys
import tomllib
import unittest

import kubernetes_validate
import yaml

ROOT = pathlib.Path(__file__).resolve().parents[2]
KUBERNETES = ROOT / "deploy/kubernetes"
DOCKERFILE = (ROOT / "docker/Dockerfile").read_text()
# The first that has `preStop.sleep`, and the last that has schemas here.
VERSIONS = ("1.30", "1.37")
UNITS = {"Mi": 2**20, "Gi": 2**30, "m": 2**20, "g": 2**30}


def manifests():
    """All of deploy/kubernetes that a cluster is given, the example of a secret included, by kind."""
    files = set(KUBERNETES.glob("*.yaml")) - {KUBERNETES / "prometheus-adapter.example.yaml"}
    documents = [document for file in sorted(files) for document in yaml.safe_load_all(file.read_text())]
    return {document["kind"]: document for document in documents}


def settings(file):
    """The settings of a file, over the defaults."""
    merged = tomllib.loads((ROOT / "deploy/decalage.toml").read_text())
    for section, values in tomllib.loads((ROOT / file).read_text()).items():
        merged[section] |= values
    return merged


def num_bytes(quantity):
    number, unit = re.fullmatch(r"(\d+)(\w+)", quantity).groups()
    return int(number) * UNITS[unit]


def uploads_bytes(config):
    return config["model"]["max_recordings"] * config["server"]["max_upload_bytes"]


class Kubernetes(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.all = manifests()
        cls.template = cls.all["Deployment"]["spec"]["template"]
        cls.pod = cls.template["spec"]
        (cls.container,) = cls.pod["containers"]
        cls.config = settings("deploy/kubernetes/decalage.toml")

    def test_the_schemas_hold(self):
        for version in VERSIONS:
            for kind, manifest in self.all.items():
                if kind != "Kustomization":
                    with self.subTest(version=version, kind=kind):
                        kubernetes_validate.validate(manifest, version, strict=True)

    def test_the_schemas_are_looked_at(self):
        broken = yaml.safe_load((KUBERNETES / "service.yaml").read_text())
        broken["spec"]["port"] = 80
        with self.assertRaises(kubernetes_validate.ValidationError):
            kubernetes_validate.validate(broken, VERSIONS[0], strict=True)

    def test_the_kustomization_names_every_file(self):
        kustomization = self.all["Kustomization"]
        (generated,) = kustomization["configMapGenerator"]
        named = {"kustomization.yaml", *kustomization["resources"], *generated["files"]}
        self.assertEqual(named, {file.name for file in KUBERNETES.iterdir() if ".example." not in file.name})
        self.assertIn({"configMap": {"name": generated["name"]}, "name": "config"}, self.pod["volumes"])
        self.assertEqual([image["name"] for image in kustomization["images"]], [self.container["image"]])
        version = tomllib.loads((ROOT / "Cargo.toml").read_text())["package"]["version"]
        self.assertEqual(kustomization["images"][0]["newTag"], version)

    def test_everything_selects_the_pods(self):
        labels = self.template["metadata"]["labels"]
        spec = {kind: manifest.get("spec") for kind, manifest in self.all.items()}
        (spread,) = self.pod["topologySpreadConstraints"]
        selectors = [
            spec["Service"]["selector"],
            spec["NetworkPolicy"]["podSelector"]["matchLabels"],
            *(selector["matchLabels"] for selector in (
                spec["Deployment"]["selector"], spec["PodDisruptionBudget"]["selector"], spread["labelSelector"])),
        ]
        self.assertEqual(selectors, [labels] * 5)
        deployment = self.all["Deployment"]
        target = {"apiVersion": deployment["apiVersion"], "kind": "Deployment", "name": deployment["metadata"]["name"]}
        self.assertEqual(spec["HorizontalPodAutoscaler"]["scaleTargetRef"], target)

    def test_every_port_is_the_server_s(self):
        (port,) = self.container["ports"]
        self.assertEqual(self.config["server"]["listen"], f"0.0.0.0:{port['containerPort']}")
        self.assertIn(f"EXPOSE {port['containerPort']}\n", DOCKERFILE)
        self.assertEqual(self.template["metadata"]["annotations"]["prometheus.io/port"], str(port["containerPort"]))
        (ingress,) = self.all["NetworkPolicy"]["spec"]["ingress"]
        (service,) = self.all["Service"]["spec"]["ports"]
        probes = [self.container[f"{name}Probe"]["httpGet"]["port"] for name in ("startup", "liveness", "readiness")]
        self.assertEqual({service["targetPort"], *(p["port"] for p in ingress["ports"]), *probes}, {port["name"]})

    def test_probes_ask_for_what_there_is(self):
        routes = re.findall(r'\.route\("([^"]+)"', (ROOT / "src/server/admin.rs").read_text())
        names = ("startup", "liveness", "readiness")
        paths = {name: self.container[f"{name}Probe"]["httpGet"]["path"] for name in names}
        self.assertEqual(paths, {"startup": "/health", "liveness": "/health", "readiness": "/ready"})
        self.assertLessEqual(set(paths.values()), set(routes))

    def test_a_pod_has_time_to_drain(self):
        pause = self.container["lifecycle"]["preStop"]["sleep"]["seconds"]
        readiness = self.container["readinessProbe"]
        self.assertGreaterEqual(pause, readiness["periodSeconds"])
        drain = self.config["server"]["drain_timeout_ms"] / 1000 + 10
        self.assertGreater(self.pod["terminationGracePeriodSeconds"], pause + drain)

    def test_the_pod_is_of_the_restricted_profile(self):
        pod, container = self.pod["securityContext"], self.container["securityContext"]
        user = re.search(r"^USER (\d+):(\d+)$", DOCKERFILE, re.MULTILINE).groups()
        self.assertEqual((str(pod["runAsUser"]), str(pod["runAsGroup"])), user)
        self.assertTrue(pod["runAsNonRoot"] and container["readOnlyRootFilesystem"])
        self.assertEqual(pod["seccompProfile"], {"type": "RuntimeDefault"})
        self.assertEqual((container["allowPrivilegeEscalation"], container["capabilities"]), (False, {"drop": ["ALL"]}))

    def test_the_keys_are_of_the_secret(self):
        secret = self.all["Secret"]
        (variable,) = self.container["env"]
        reference = variable["valueFrom"]["secretKeyRef"]
        self.assertEqual(variable["name"], "DECALAGE_AUTH__KEYS")
        self.assertEqual(reference["name"], secret["metadata"]["name"])
        self.assertIn(reference["key"], secret["stringData"])

    def test_uploads_find_room(self):
        (uploads,) = [volume["emptyDir"] for volume in self.pod["volumes"] if volume["name"] == "uploads"]
        room = num_bytes(uploads["sizeLimit"])
        self.assertGreater(room, uploads_bytes(self.config))
        self.assertGreater(num_bytes(self.container["resources"]["limits"]["ephemeral-storage"]), room)

    def test_the_autoscaler_asks_for_a_share_of_the_server_s_places(self):
        (metric,) = self.all["HorizontalPodAutoscaler"]["spec"]["metrics"]
        names = re.findall(r'add\(\s*r,\s*"(\w+)"', (ROOT / "src/telemetry/metrics.rs").read_text())
        adapter = yaml.safe_load((KUBERNETES / "prometheus-adapter.example.yaml").read_text())
        (rule,) = adapter["rules"]["custom"]
        self.assertEqual(rule["name"]["as"], metric["pods"]["metric"]["name"])
        self.assertTrue(rule["seriesQuery"].startswith("decalage_streams{"))
        asked = re.findall(r"decalage_(\w+)", rule["metricsQuery"])
        self.assertEqual(asked, ["streams", "max_streams"])
        self.assertLessEqual(set(asked), set(names))
        # Of the places, in thousandths.
        target = int(metric["pods"]["target"]["averageValue"].removesuffix("m"))
        self.assertTrue(0 < target < 1000, target)


class Setup(unittest.TestCase):
    def test_a_missing_compiler_is_named_before_anything_is_fetched(self):
        for variable, language in [("CC", "C"), ("CXX", "C++")]:
            environment = {**os.environ, variable: "no-such-compiler -O2"}
            setup = [sys.executable, ROOT / "scripts/setup-libtorch"]
            done = subprocess.run(setup, env=environment, capture_output=True, text=True, timeout=60)
            self.assertEqual(done.returncode, 1)
            self.assertIn(f"no {language} compiler 'no-such-compiler' (Debian: apt-get install", done.stderr)


class Compose(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.all = yaml.safe_load((ROOT / "docker/compose.yaml").read_text())
        cls.service = cls.all["services"]["decalage"]
        cls.config = settings("docker/decalage.toml")

    def test_it_publishes_the_image_s_port_to_this_machine_only(self):
        port = self.config["server"]["listen"].removeprefix("0.0.0.0:")
        self.assertEqual(self.service["ports"], [f"127.0.0.1:{port}:{port}"])

    def test_it_has_time_to_drain(self):
        grace = int(self.service["stop_grace_period"].removesuffix("s"))
        self.assertGreater(grace, self.config["server"]["drain_timeout_ms"] / 1000 + 10)

    def test_uploads_are_on_disk(self):
        self.assertNotIn("tmpfs", self.service)
        (volume,) = self.service["volumes"]
        name, folder = volume.split(":")
        self.assertIn(name, self.all["volumes"])
        self.assertEqual(folder, "/tmp")
        self.assertTrue(self.service["read_only"])

    def test_it_begins_as_the_image_does(self):
        command = re.search(r"^CMD \[(.*)\]$", DOCKERFILE, re.MULTILINE)[1].replace('"', "").split(", ")
        (keys,) = self.service["secrets"]
        self.assertEqual(self.service["command"], [*command, "--config", f"/run/secrets/{keys}"])
        health = re.search(r"^HEALTHCHECK .* CMD \[(.*)\]$", DOCKERFILE, re.MULTILINE)[1].replace('"', "").split(", ")
        self.assertEqual(self.service["healthcheck"]["test"], ["CMD", *health])


if __name__ == "__main__":
    unittest.main()
