"""What the watches and lists have shown: an informer's cache.

It may lag behind. Before acting on "it exists" or "it is gone" where a mistake would cost something (taking or freeing
the lock), read live. What a write answers goes in at once, so the operator sees its own writes; what a live read shows
goes in too, and stays news to all others whom it concerns until its watch event comes.
"""

from collections import OrderedDict, defaultdict
from collections.abc import Container, Iterable

from bluetune_operator.adapters.slim import slim
from bluetune_operator.core.kinds import (
    MODEL_LABEL,
    TASK_LABEL,
    TASKS,
    Kind,
    Object,
    labels_of,
    name_of,
    namespace_of,
    uid_of,
)

TOMBSTONES = 4096


class ObjectCache:
    """Objects by kind, namespace and name, and by the model and task that they belong to. For one thread."""

    def __init__(self) -> None:
        self._objects: dict[str, dict[tuple[str, str], Object]] = defaultdict(dict)
        """Objects by kind, then by namespace and name."""
        self._by_model: dict[tuple[str, str, str], set[str]] = defaultdict(set)
        self._by_task: dict[tuple[str, str, str], set[str]] = defaultdict(set)
        self._gone: OrderedDict[str, None] = OrderedDict()
        self._ahead: set[str] = set()
        """uids of what a live read showed and no watch has told yet."""

    def get(self, kind: Kind, namespace: str, name: str) -> Object | None:
        """The object as last seen, or None. Do not change it."""
        return self._objects[kind.plural].get((namespace, name))

    def all(self, kind: Kind) -> list[Object]:
        """All of a kind."""
        return list(self._objects[kind.plural].values())

    def of_model(self, kind: Kind, namespace: str, model: str) -> list[Object]:
        """Objects of a kind that belong to a model: by label, and for tasks by modelRef."""
        return self._named(kind, namespace, self._by_model.get((kind.plural, namespace, model), ()))

    def of_task(self, kind: Kind, namespace: str, task: str) -> list[Object]:
        """Objects of a kind that are labelled with a task's name."""
        return self._named(kind, namespace, self._by_task.get((kind.plural, namespace, task), ()))

    def _named(self, kind: Kind, namespace: str, names: Iterable[str]) -> list[Object]:
        return [self._objects[kind.plural][namespace, name] for name in sorted(names)]

    def put(self, kind: Kind, thing: Object) -> bool:
        """Keep an object, unless a newer one is kept or it is known to be gone; return whether it was news."""
        if uid_of(thing) in self._gone:
            return False
        namespace, name = namespace_of(thing), name_of(thing)
        kept = self.get(kind, namespace, name)
        if kept is not None:
            if uid_of(kept) != uid_of(thing):
                self._ahead.discard(uid_of(kept))
            elif not _newer(thing, kept):
                return False
            self._unlink(kind, kept)
        thing.setdefault("apiVersion", kind.api_version)
        thing.setdefault("kind", kind.name)
        self._objects[kind.plural][namespace, name] = slim(kind, thing)
        model, task = _belongs(kind, thing)
        if model:
            self._by_model[kind.plural, namespace, model].add(name)
        if task:
            self._by_task[kind.plural, namespace, task].add(name)
        return True

    def put_ahead(self, kind: Kind, thing: Object) -> None:
        """Keep what a live read showed; its watch event will still be news."""
        if self.put(kind, thing):
            self._ahead.add(uid_of(thing))

    def is_news(self, kind: Kind, thing: Object) -> bool:
        """Whether nobody was told yet of an object that is kept as it is: asked once, by its watch event or a list."""
        if uid_of(thing) not in self._ahead or self.same(kind, thing) is None:
            return False
        self._ahead.remove(uid_of(thing))
        return True

    def same(self, kind: Kind, thing: Object) -> Object | None:
        """The kept object, if it is this one as it is now."""
        kept = self.get(kind, namespace_of(thing), name_of(thing))
        if kept is None or kept["metadata"]["resourceVersion"] != thing["metadata"]["resourceVersion"]:
            return None
        return kept

    def remove(self, kind: Kind, thing: Object) -> None:
        """An object was deleted."""
        self._gone[uid_of(thing)] = None
        while len(self._gone) > TOMBSTONES:
            self._gone.popitem(last=False)
        namespace, name = namespace_of(thing), name_of(thing)
        kept = self.get(kind, namespace, name)
        if kept is not None and uid_of(kept) == uid_of(thing):
            self._unlink(kind, kept)
            self._ahead.discard(uid_of(kept))
            del self._objects[kind.plural][namespace, name]

    def forget(self, kind: Kind, namespace: str, name: str) -> None:
        """A live read showed that there is no such object."""
        kept = self.get(kind, namespace, name)
        if kept is not None:
            self.remove(kind, kept)

    def remove_absent(
        self, kind: Kind, namespace: str | None, present: Container[str], known: Container[str]
    ) -> list[Object]:
        """Remove what a full list of a namespace (None: of all) did not show; return it.

        Args:
            kind: of the objects.
            namespace: that was listed.
            present: uids that the list showed.
            known: uids that were kept when the list was asked for: what came later is not judged by it.
        """
        vanished = [
            thing
            for thing in self.all(kind)
            if (namespace is None or namespace_of(thing) == namespace)
            and uid_of(thing) in known
            and uid_of(thing) not in present
        ]
        for thing in vanished:
            self.remove(kind, thing)
        return vanished

    def drop(self, kind: Kind, namespace: str) -> list[Object]:
        """Keep no object of a namespace that cannot be seen any more; return them. They may come back as they were."""
        dropped = [thing for thing in self.all(kind) if namespace_of(thing) == namespace]
        for thing in dropped:
            self._unlink(kind, thing)
            self._ahead.discard(uid_of(thing))
            del self._objects[kind.plural][namespace, name_of(thing)]
        return dropped

    def uids(self, kind: Kind) -> set[str]:
        """uids of all objects of a kind."""
        return {uid_of(thing) for thing in self.all(kind)}

    def _unlink(self, kind: Kind, thing: Object) -> None:
        namespace, name = namespace_of(thing), name_of(thing)
        model, task = _belongs(kind, thing)
        for index, owner in ((self._by_model, model), (self._by_task, task)):
            if owner and (names := index.get((kind.plural, namespace, owner))):
                names.discard(name)
                if not names:
                    del index[kind.plural, namespace, owner]


def _belongs(kind: Kind, thing: Object) -> tuple[str | None, str | None]:
    if kind == TASKS:
        return (thing.get("spec") or {}).get("modelRef", {}).get("name"), None
    labels = labels_of(thing)
    return labels.get(MODEL_LABEL), labels.get(TASK_LABEL)


def _newer(thing: Object, kept: Object) -> bool:
    """Since 1.35 the API says that resourceVersions of a kind can be compared as numbers; etcd's always could."""
    new, old = thing["metadata"].get("resourceVersion", ""), kept["metadata"].get("resourceVersion", "")
    if new.isdigit() and old.isdigit():
        return int(new) > int(old)
    return bool(new != old)
