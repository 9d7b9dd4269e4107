"""spec.notify of a model: takes in what happened, sends it, and writes down what became of it in `status.notify`."""

import asyncio
import base64
import binascii
import logging

from pydantic import TypeAdapter, ValidationError

from bluetune_api.model import EmbeddingModelStatus
from bluetune_api.notify import Notice, Notify, NotifyStatus, Url
from bluetune_api.pods import KeyReference
from bluetune_operator.adapters.webhooks import Webhooks
from bluetune_operator.core.errors import ApiError
from bluetune_operator.core.kinds import MODELS, SECRETS, TASKS, Object, is_deleting, name_of, namespace_of, uid_of
from bluetune_operator.core.notify import (
    answered,
    body_of,
    due,
    happened,
    seconds_to_next,
    signature,
    taken_in,
)
from bluetune_operator.core.references import spec_and_status
from bluetune_operator.reconciler.base import Context

logger = logging.getLogger(__name__)

BUSY_SECONDS = 2.0
AT_ONCE = 4
"""Notices that one look sends; the next look follows at once."""
_URL = TypeAdapter(Url)


class _Unusable(Exception):
    """A Secret does not give what the entry asks for; the message says why."""


class NotifyReconciler:
    """Reconciles spec.notify."""

    def __init__(self, context: Context, webhooks: Webhooks) -> None:
        self._context = context
        self._webhooks = webhooks

    async def reconcile(self, namespace: str, name: str) -> float | None:
        """See `Reconciler`."""
        model = self._context.cache.get(MODELS, namespace, name)
        if model is None or is_deleting(model):
            return None
        read = spec_and_status(model)
        if read is None:
            return None  # the model's reconciler says so
        spec, status = read
        if not spec.notify:
            if status.notify is not None:
                await self._write(model, status, None)
            return None
        now, tasks = self._context.clock(), self._context.cache.of_model(TASKS, namespace, name)
        state = taken_in(status.notify, spec.notify, happened(model, status, tasks), now)
        model = await self._write(model, status, state)
        observer = self._context.observer
        if overflow := state.lost - (status.notify.lost if status.notify is not None else 0):
            observer.notice(namespace, name, "Lost", overflow)
        to_send = due(state, now)
        if not to_send:
            return seconds_to_next(state, now)
        if self._webhooks.busy:
            return BUSY_SECONDS
        entries = {entry.name: entry for entry in spec.notify}
        sent = to_send[:AT_ONCE]
        problems = await asyncio.gather(*(self._send(model, notice, entries[notice.target]) for notice in sent))
        now, given_up = self._context.clock(), list[Notice]()
        for notice, problem in zip(sent, problems, strict=True):
            state, lost = answered(state, notice, problem, now)
            given_up += [notice] if lost else []
        seen = self._context.cache.get(MODELS, namespace, name)
        if seen is not None and uid_of(seen) == uid_of(model):
            model = seen  # others write the rest of its status meanwhile
        status = EmbeddingModelStatus.model_validate(model.get("status") or {})
        model = await self._write(model, status, state)
        for problem in problems:
            observer.notice(namespace, name, "Delivered" if problem is None else "NotTaken")
        for notice in given_up:
            observer.notice(namespace, name, "Lost")
            text = f"{notice.event} of {notice.subject} was not told after {notice.attempts + 1} attempts"
            await self._context.events.emit(model, "NotifyFailed", f"{text}: {state.last_error}", level="Warning")
        return seconds_to_next(state, now)

    async def _send(self, model: Object, notice: Notice, entry: Notify) -> str | None:
        """Send a notice; why it was not taken, or None."""
        content_type, body = body_of(model, notice, entry)
        try:
            url = entry.url or await self._secret(model, entry.url_secret_ref)
            headers = {"X-Bluetune-Event-Id": notice.id}
            if entry.signing_secret_ref is not None:
                headers["X-Bluetune-Signature"] = signature(await self._secret(model, entry.signing_secret_ref), body)
            _URL.validate_python(url)
        except ValidationError:
            return "the address in the Secret of urlSecretRef is no http:// or https:// URL without a password"
        except _Unusable as error:
            return str(error)
        return await self._webhooks.post(url, content_type, body, headers)

    async def _secret(self, model: Object, reference: KeyReference | None) -> str:
        """The value of a key. Raises _Unusable."""
        assert reference is not None  # noqa: S101 - a rule of the type
        try:
            secret = await self._context.kube.get(SECRETS, namespace_of(model), reference.name)
        except ApiError as error:
            raise _Unusable(f"Secret {reference.name!r} cannot be read: {error.reason}") from None
        value = ((secret or {}).get("data") or {}).get(reference.key)
        if value is None:
            raise _Unusable(f"Secret {reference.name!r} does not exist, or has no key {reference.key!r}")
        try:
            text = base64.b64decode(value, validate=True).decode().strip()
        except (binascii.Error, UnicodeDecodeError):
            raise _Unusable(f"Secret {reference.name!r}: the value of {reference.key} is not text") from None
        if not text:
            raise _Unusable(f"Secret {reference.name!r}: the value of {reference.key} is empty")
        return text

    async def _write(self, model: Object, old: EmbeddingModelStatus, state: NotifyStatus | None) -> Object:
        """Write the status if it changed; the model as it is then."""
        wire = old.model_copy(update={"notify": state}).wire()
        if wire == (model.get("status") or {}):
            return model
        written = await self._context.kube.replace_status(MODELS, model, wire)
        self._context.cache.put(MODELS, written)
        logger.debug("status.notify of %s was written", name_of(model))
        return written
