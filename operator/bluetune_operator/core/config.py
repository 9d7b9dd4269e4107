"""How the operator is set up: environment variables, which the command line's options override."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from bluetune_operator.core.tenant_identity import IdentitySettings, identity_settings

DEFAULT_TRAINER_IMAGE = "bluetune-trainer:0.1.0"


@dataclass(frozen=True)
class Config:
    """Settings of one operator process."""

    namespaces: tuple[str, ...] = ()
    """Namespaces to serve; empty is the whole cluster."""
    trainer_image: str = DEFAULT_TRAINER_IMAGE
    """Image of methods that name none."""
    trainer_image_pull_policy: str = "IfNotPresent"
    """Always, IfNotPresent or Never."""
    fetcher_image: str = ""
    """Image of the init container that fetches versions, the operator's own; empty: the trainer's, which is larger."""
    fetcher_image_pull_policy: str = "IfNotPresent"
    """Always, IfNotPresent or Never."""
    fixed_ids: bool = True
    """Whether pods name the user and the groups that they run as; not where the platform assigns them (OpenShift)."""
    identity: IdentitySettings = field(default_factory=IdentitySettings)
    """Whose identity opens stores without a Secret."""
    health_port: int = 8080
    """Port of /healthz and /readyz; 0: not served."""
    metrics_port: int = 8081
    """Port of /metrics; 0: not served."""
    log_format: str = "json"
    """json or text."""
    pod_namespace: str = "default"
    """Namespace of the operator's own Lease."""
    pod_name: str = ""
    """How this process is called as the holder of that Lease; empty: the host's name and the process id."""
    workers: int = 16
    """Reconciles at the same time."""
    max_rollouts: int = 5
    """Rollouts of models at a time."""
    resync_seconds: float = 300.0
    """Between two full lists, which make up for what a watch lost: nothing else leans on them."""

    @property
    def scopes(self) -> tuple[str | None, ...]:
        """What lists are asked for: each namespace, or None for all of them."""
        return self.namespaces or (None,)


def config_from(environment: Mapping[str, str]) -> Config:
    """Read the environment. Raises ValueError that names the variable."""
    base = Config()
    log_format = environment.get("BLUETUNE_LOG_FORMAT", base.log_format)
    if log_format not in ("json", "text"):
        raise ValueError(f"BLUETUNE_LOG_FORMAT={log_format!r}: must be json or text")
    policy = _pull_policy(environment, "BLUETUNE_TRAINER_IMAGE_PULL_POLICY", base.trainer_image_pull_policy)
    return Config(
        namespaces=tuple(n for n in (p.strip() for p in environment.get("BLUETUNE_NAMESPACES", "").split(",")) if n),
        trainer_image=environment.get("BLUETUNE_TRAINER_IMAGE") or base.trainer_image,
        trainer_image_pull_policy=policy,
        fetcher_image=environment.get("BLUETUNE_FETCHER_IMAGE", base.fetcher_image),
        fetcher_image_pull_policy=_pull_policy(environment, "BLUETUNE_FETCHER_IMAGE_PULL_POLICY", policy),
        fixed_ids=_flag(environment, "BLUETUNE_FIXED_IDS", base.fixed_ids),
        identity=identity_settings(environment),
        health_port=_port(environment, "BLUETUNE_HEALTH_PORT", base.health_port),
        metrics_port=_port(environment, "BLUETUNE_METRICS_PORT", base.metrics_port),
        log_format=log_format,
        max_rollouts=_count(environment, "BLUETUNE_MAX_ROLLOUTS", base.max_rollouts),
        pod_namespace=environment.get("POD_NAMESPACE") or base.pod_namespace,
        pod_name=environment.get("POD_NAME", ""),
    )


def _count(environment: Mapping[str, str], name: str, default: int) -> int:
    text = environment.get(name, "")
    if not text:
        return default
    if not text.isdigit() or not 1 <= int(text) <= 1000:
        raise ValueError(f"{name}={text!r}: must be a number from 1 to 1000")
    return int(text)


def _port(environment: Mapping[str, str], name: str, default: int) -> int:
    text = environment.get(name, "")
    if not text:
        return default
    if not text.isdigit() or int(text) > 65535:
        raise ValueError(f"{name}={text!r}: must be a port number, or 0 for none")
    return int(text)


def _pull_policy(environment: Mapping[str, str], name: str, default: str) -> str:
    policy = environment.get(name) or default
    if policy not in ("Always", "IfNotPresent", "Never"):
        raise ValueError(f"{name}={policy!r}: must be Always, IfNotPresent or Never")
    return policy


def _flag(environment: Mapping[str, str], name: str, default: bool) -> bool:
    text = environment.get(name) or str(default).lower()
    if text not in ("true", "false"):
        raise ValueError(f"{name}={text!r}: must be true or false")
    return text == "true"
