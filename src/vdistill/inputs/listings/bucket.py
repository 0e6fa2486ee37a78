"""A folder elsewhere: the objects below a prefix of a bucket, the files of a hub's dataset, or a server's listing."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple
from urllib.parse import unquote

from vdistill.errors import VdistillError
from vdistill.inputs.listings.listed import METADATA_FILES, Entry, Found, Listing, MetadataFile, Skipped
from vdistill.inputs.listings.shard import Shard, is_shard
from vdistill.inputs.listings.shards import images_or_shards
from vdistill.inputs.listings.tree import CLUTTER
from vdistill.sources import Stamp, shown
from vdistill.sources.manners import manners
from vdistill.sources.remote import as_oserror, no_credentials, system_of
from vdistill.sources.secrets import holds_secret
from vdistill.sources.stamps import stamp_of
from vdistill.sources.suffixes import IMAGE_SUFFIXES


class _Object(NamedTuple):
    """key: its path below the root.  stamp: None where the listing does not tell it."""

    key: str
    stamp: Stamp | None


def listing(root: str) -> Listing:
    """The images below a URL. Raises VdistillError where it cannot be listed completely."""
    check(root)
    scheme, _, place = root.partition("://")
    if not place.strip("/"):
        raise VdistillError(f"{root} names no place", hint=f"give {scheme}://BUCKET/PREFIX")
    root = root.rstrip("/")
    empty = VdistillError(
        f"no images in {shown(root)}",
        hint=f"check the address; files ending in {' '.join(sorted(IMAGE_SUFFIXES))} are searched for below it, "
        "else .tar or .parquet files",
    )
    return Listing(root, images_or_shards(root, _found(root)), empty)


def check(root: str) -> None:
    """Refuse a URL with a secret, which an index and a shell's history would keep."""
    if holds_secret(root):
        raise VdistillError(
            f"the address {shown(root)} holds a password, a signature or a key",
            hint="leave it out: credentials come from the environment or a file of the storage's own tools",
        )


def _found(root: str) -> Iterator[Found | Shard]:
    web = root.startswith(("http://", "https://"))
    try:
        for one in _objects(root):
            key = unquote(one.key) if web else one.key
            if (found := _kind(root, one, key)) is not None:
                yield found
    except OSError as error:
        raise _not_listed(root, error) from error


def _kind(root: str, one: _Object, key: str) -> Found | Shard | None:
    name = key.rpartition("/")[2]
    suffix = f".{name.rpartition('.')[2].lower()}" if "." in name else ""
    if suffix not in IMAGE_SUFFIXES and name not in METADATA_FILES and not is_shard(name):
        return None
    parts = key.split("/")
    if any((part.startswith(".") and part not in (".", "..")) or part.lower() in CLUTTER for part in parts):
        return None
    if any(part in ("", ".", "..") for part in parts) or "://" in key or key.startswith(("tar:", "parquet:")):
        return Skipped(key, "its name is no path")
    file = f"{root.rstrip('/')}/{one.key}"
    if name in METADATA_FILES:
        return MetadataFile(key, file)
    if is_shard(name):
        return Shard(key, file, one.stamp)
    return Entry(key, None if key == one.key else one.key, one.stamp)


def _objects(root: str) -> Iterator[_Object]:
    """All files below, a page at a time, so that any number of them takes little memory. Raises OSError."""
    system, path = system_of(root)
    scheme = root.partition("://")[0]
    if scheme in ("s3", "s3a"):
        return _s3(root, system, path)
    if scheme == "hf":
        return _hub(root, system, path)
    return _walked(root, system, path)


def _s3(root: str, system: Any, path: str) -> Iterator[_Object]:
    bucket, key, _ = system.split_path(path)
    prefix = f"{key.rstrip('/')}/" if key else ""
    more: dict[str, Any] = dict(system.req_kw)
    while True:
        # A page that failed is asked for again by its token: what came before is not listed twice.
        page: Mapping[str, Any] = as_oserror(
            lambda: system.call_s3("list_objects_v2", Bucket=bucket, Prefix=prefix, **more),
            root,
        )
        for info in page.get("Contents", ()):
            name = info["Key"][len(prefix) :]
            if name and not name.endswith("/"):
                yield _Object(name, stamp_of({**info, "size": info["Size"]}))
        if not page.get("IsTruncated"):
            return
        more["ContinuationToken"] = page["NextContinuationToken"]


def _hub(root: str, system: Any, path: str) -> Iterator[_Object]:
    """The files of a repository on the Hugging Face hub."""
    from huggingface_hub.hf_api import RepoFile

    place = as_oserror(lambda: system.resolve_path(path), root)
    inside = place.path_in_repo
    start = len(inside) + 1 if inside else 0

    def tree() -> Iterator[Any]:
        found: Iterator[Any] = system._api.list_repo_tree(
            place.repo_id, inside or None, recursive=True, revision=place.revision, repo_type=place.repo_type
        )
        return found

    for one in _resumed(tree, root):
        if isinstance(one, RepoFile):
            yield _Object(one.path[start:], stamp_of({"size": one.size, "blob_id": one.blob_id}))


def _resumed(listed: Callable[[], Iterator[Any]], root: str) -> Iterator[Any]:
    """All that is listed: where that breaks off, it begins again and what was there already is passed over."""
    done, source = 0, listed()

    def following() -> Any:
        nonlocal source
        try:
            return next(source, None)
        except Exception:
            source = listed()
            for _ in range(done):
                next(source)
            raise

    while (one := as_oserror(following, root)) is not None:
        done += 1
        yield one


def _walked(root: str, system: Any, path: str) -> Iterator[_Object]:
    """Folder by folder."""
    web = root.startswith(("http://", "https://"))
    start = f"{path.rstrip('/')}/"
    if web and manners()():
        _check_page(root, as_oserror(lambda: system.cat_file(start), root))
    folders, seen = [start if web else path], set[str]()
    while folders:
        folder = folders.pop()
        seen.add(folder)
        for info in as_oserror(lambda: system.ls(folder, detail=True), root):  # noqa: B023
            name = info["name"]
            if info["type"] == "directory":
                if name.startswith(start) and name not in seen:
                    folders.append(name)
            elif name.startswith(start) and "?" not in name:
                # A web server's page tells neither size nor time.
                yield _Object(name[len(start) :], None if web else stamp_of(info))


def _check_page(root: str, page: bytes) -> None:
    """Refuse a server's listing that is kept from AI."""
    from vdistill.sources.web.robots import page_forbids_ai

    if page_forbids_ai(page.decode("utf-8", "replace")):
        raise VdistillError(
            f'the page at {shown(root)} keeps its images from AI (<meta name="robots">)',
            hint="--ignore-robots lists them all the same, where they are your own",
        )


def _not_listed(root: str, error: OSError) -> VdistillError:
    if isinstance(error, FileNotFoundError):
        return VdistillError(f"no catalog at {shown(root)}", hint="check the bucket or the name, and the path")
    if isinstance(error, PermissionError):
        hint = no_credentials(root).hint
        return VdistillError(f"cannot list {shown(root)}: {error.strerror}", hint=f"check the permissions, or {hint}")
    return VdistillError(
        f"cannot list {shown(root)}: {error.strerror or error}",
        hint="nothing was changed; check the address and the network, and run this again",
    )
