"""Configuration files and command lines of the node's programs: pure functions of the cluster's state folder."""

import json
from pathlib import Path
from typing import Any

from .images import PAUSE
from .paths import NODE, NODE_IP, POD_NET, SERVICE_NET, TESTED_OPERATOR, State

AUDIT_MEGABYTES, AUDIT_FILES = 48, 2
"""Size of the audit log's files, and how many old ones are kept."""

_CONTAINERD = """version = 2
root = "{images}"
state = "{root}/containerd"
[grpc]
  address = "{socket}"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{pause}"
  restrict_oom_score_adj = true
  disable_apparmor = true
  disable_hugetlb_controller = true
  tolerate_missing_hugetlb_controller = true
  stream_server_address = "127.0.0.1"
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "overlayfs"
    default_runtime_name = "runc"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
      [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
        BinaryName = "{root}/runtime"
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "{root}/cni"
"""


def containerd(state: State) -> str:
    """containerd's configuration (TOML, version 2)."""
    return _CONTAINERD.format(root=state.root, socket=state.containerd_socket, images=state.images, pause=PAUSE)


def cni(state: State) -> str:
    """The pod network: one bridge, addresses handed out from POD_NET."""
    ipam = {
        "type": "host-local",
        "dataDir": f"{state.root}/ipam",
        "ranges": [[{"subnet": POD_NET}]],
        "routes": [{"dst": "0.0.0.0/0"}],
    }
    bridge = {"type": "bridge", "bridge": "cni0", "isGateway": True, "hairpinMode": True, "ipam": ipam}
    return json.dumps({"cniVersion": "0.4.0", "name": "testbed", "plugins": [bridge]})


def kubelet(state: State) -> str:
    """The kubelet's configuration. Limits that need rights this machine may lack are left alone."""
    config: dict[str, Any] = {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "address": NODE_IP,
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": False},
            "x509": {"clientCAFile": f"{state.pki}/ca.crt"},
        },
        "authorization": {"mode": "AlwaysAllow"},
        "cgroupDriver": "cgroupfs",
        "cgroupsPerQOS": False,
        "clusterDNS": [NODE_IP],
        "clusterDomain": "cluster.local",
        "containerRuntimeEndpoint": f"unix://{state.containerd_socket}",
        "enforceNodeAllocatable": [],
        "evictionHard": {"memory.available": "100Mi"},
        "failCgroupV1": False,
        "failSwapOn": False,
        "localStorageCapacityIsolation": False,
        "makeIPTablesUtilChains": False,
        "maxPods": 250,
        "nodeStatusUpdateFrequency": "2s",
        "oomScoreAdj": 0,
        "resolvConf": f"{state.root}/resolv.conf",
        "serializeImagePulls": False,
        "syncFrequency": "5s",
        "tlsCertFile": f"{state.pki}/node.crt",
        "tlsPrivateKeyFile": f"{state.pki}/node.key",
        "volumePluginDir": f"{state.root}/volume-plugins",
    }
    return json.dumps(config, indent=1)


def kube_proxy(state: State) -> str:
    """kube-proxy's configuration: Services by nftables, the machine's connection tracking limits left alone."""
    return json.dumps(
        {
            "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
            "kind": "KubeProxyConfiguration",
            "mode": "nftables",
            "clusterCIDR": POD_NET,
            "hostnameOverride": NODE,
            "bindAddress": NODE_IP,
            "clientConnection": {"kubeconfig": f"{state.pki}/proxy.kubeconfig"},
            "conntrack": {"maxPerCore": 0, "min": 0},
        }
    )


def corefile(state: State) -> str:
    """CoreDNS: the cluster's names and nothing else; there is no world outside."""
    return f""".:53 {{
 bind {NODE_IP}
 errors
 kubernetes cluster.local in-addr.arpa {{
  kubeconfig {state.pki}/admin.kubeconfig testbed
 }}
 cache 5
}}
"""


def etcd(state: State) -> list[str]:
    """etcd on 127.0.0.1, without fsync: a cluster's data never outlives it."""
    clients, peers = "http://127.0.0.1:2379", "http://127.0.0.1:2380"
    return [
        "--name=t",
        f"--data-dir={state.root}/etcd",
        "--unsafe-no-fsync",
        "--log-level=warn",
        f"--listen-client-urls={clients}",
        f"--advertise-client-urls={clients}",
        f"--listen-peer-urls={peers}",
        f"--initial-advertise-peer-urls={peers}",
        f"--initial-cluster=t={peers}",
    ]


def api_server(state: State) -> list[str]:
    """The API server; it must not advertise a 127.x address, or pods cannot reach it."""
    pki = state.pki
    return [
        "--etcd-servers=http://127.0.0.1:2379",
        "--bind-address=0.0.0.0",
        "--secure-port=6443",
        f"--advertise-address={NODE_IP}",
        f"--cert-dir={state.root}/certs",
        f"--tls-cert-file={pki}/server.crt",
        f"--tls-private-key-file={pki}/server.key",
        f"--client-ca-file={pki}/ca.crt",
        "--authorization-mode=Node,RBAC",
        "--allow-privileged=true",
        f"--service-cluster-ip-range={SERVICE_NET}",
        "--service-account-issuer=https://kubernetes.default.svc",
        f"--service-account-key-file={pki}/sa.pub",
        f"--service-account-signing-key-file={pki}/sa.key",
        "--enable-admission-plugins=NodeRestriction",
        "--event-ttl=1h",
        "--profiling=false",
        "--kubelet-preferred-address-types=InternalIP",
        f"--kubelet-client-certificate={pki}/admin.crt",
        f"--kubelet-client-key={pki}/admin.key",
        f"--audit-policy-file={state.root}/audit.yaml",
        f"--audit-log-path={state.audit}/audit.log",
        f"--audit-log-maxsize={AUDIT_MEGABYTES}",
        f"--audit-log-maxbackup={AUDIT_FILES}",
    ]


def audit_policy() -> str:
    """Who asked for what, without bodies: service accounts alone, but for Kubernetes' own."""
    rules = [
        {"level": "None", "userGroups": ["system:serviceaccounts:kube-system"]},
        {"level": "Metadata", "userGroups": ["system:serviceaccounts"]},
        {"level": "Metadata", "users": [TESTED_OPERATOR]},
        {"level": "None"},
    ]
    policy = {"apiVersion": "audit.k8s.io/v1", "kind": "Policy", "omitStages": ["RequestReceived"], "rules": rules}
    return json.dumps(policy, indent=1)


def controllers(state: State) -> list[str]:
    """The controller manager, without the controllers that need a cloud or a metrics server."""
    without = (
        "node-ipam-controller",
        "persistentvolume-attach-detach-controller",
        "horizontal-pod-autoscaler-controller",
    )
    return [
        *_leaderless(state, "controllers", 10257),
        f"--service-account-private-key-file={state.pki}/sa.key",
        f"--root-ca-file={state.pki}/ca.crt",
        "--use-service-account-credentials",
        f"--cluster-signing-cert-file={state.pki}/ca.crt",
        f"--cluster-signing-key-file={state.pki}/ca.key",
        "--kube-api-qps=500",
        "--kube-api-burst=1000",
        "--node-monitor-period=1s",
        "--node-monitor-grace-period=15s",
        f"--controllers=*,{','.join(f'-{name}' for name in without)}",
    ]


def scheduler(state: State) -> list[str]:
    """The scheduler."""
    return _leaderless(state, "scheduler", 10259)


def _leaderless(state: State, user: str, port: int) -> list[str]:
    config = f"{state.pki}/{user}.kubeconfig"
    return [
        f"--kubeconfig={config}",
        f"--authentication-kubeconfig={config}",
        f"--authorization-kubeconfig={config}",
        "--leader-elect=false",
        "--bind-address=127.0.0.1",
        f"--secure-port={port}",
    ]


def write(state: State) -> None:
    """Write every file of the above into the state folder."""
    files: dict[str, str] = {
        "containerd.toml": containerd(state),
        "cni/10-testbed.conflist": cni(state),
        "audit.yaml": audit_policy(),
        "kubelet.yaml": kubelet(state),
        "proxy.yaml": kube_proxy(state),
        "Corefile": corefile(state),
        "resolv.conf": f"nameserver {NODE_IP}\n",
    }
    for name, text in files.items():
        path: Path = state.root / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
