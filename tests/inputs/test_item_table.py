"""The items of a catalog in their file: in order, whatever the order they came in, and read no further than asked."""

import json

import pytest

from vdistill.inputs.catalog import scan
from vdistill.inputs.hashes import Hashes
from vdistill.inputs.item_table import PAGE, PART, ItemTable
from vdistill.inputs.items_by_id import ItemsById
from vdistill.inputs.keys_by_id import Keys
from vdistill.inputs.listings import Entry

MANY = PART + PAGE + 7  # no multiple of what is read at once


def table_of(entries):
    table = ItemTable("/shop")
    table.enter(entries)
    return table, table.index()


def test_items_are_in_the_order_of_their_ids_whatever_order_they_came_in():
    table, twice = table_of(Entry(f"{number * 7919 % MANY:05}.png") for number in range(MANY))
    expected = [f"{number:05}.png" for number in range(MANY)]
    assert not twice
    assert [item.id for item in table] == [*table.ids()] == [one.id for one in table.files()] == expected
    assert len(table) == MANY
    assert [item.id for item in table[PAGE - 1 : PAGE + 1]] == expected[PAGE - 1 : PAGE + 1]


def test_of_two_items_by_one_id_the_first_stays():
    table, twice = table_of(
        [Entry("b", "first"), Entry("a"), Entry("b", "second", metadata={"title": "x"}), Entry("a")]
    )
    assert twice == ["a", "b"]
    assert [(item.id, item.file, item.metadata) for item in table] == [("a", "/shop/a", {}), ("b", "/shop/first", {})]
    assert len(table) == 2


def test_files_and_stamps_are_those_of_the_items():
    stamp = (5, 6, 7)
    table, _ = table_of([Entry("a"), Entry("b", "tar:1+2:x.tar", stamp), Entry("c", "s3://bucket/c", None, {"t": 1})])
    assert [(one.id, one.file, one.stamp) for one in table.files()] == [(i.id, i.file, i.stamp) for i in table]
    assert [table.file_of(key) for key in "abc"] == ["/shop/a", "tar:1+2:/shop/x.tar", "s3://bucket/c"]


def test_removed_items_are_gone():
    table, _ = table_of(Entry(f"{number:05}") for number in range(MANY))
    others, _ = table_of(Entry(f"{number:05}") for number in range(0, 2 * MANY, 2))
    table.remove(others)
    assert [*table.ids()] == [f"{number:05}" for number in range(1, MANY, 2)]
    assert len(table) == len([*table])


@pytest.mark.parametrize("column", ["group", "item_id", "sku"])
def test_keys_of_a_table_are_those_of_its_items(column):
    """The metadata of items without a group is searched for the columns' names, not read."""
    values = ["a", 12.0, None, ["x"], "", True]
    rows = [{column: value, "title": "t"} for value in values]
    rows += [{"title": '"group" of "sku"s'}, {"Group": 1}, {}, {"tags": {column: 5}}]
    table, _ = table_of(Entry(f"{number}.png", metadata=row) for number, row in enumerate(rows))
    hashes = {f"{number}.png": f"content {number // 2}" for number in range(len(rows) - 1)}
    ours, theirs = Keys(table, hashes), Keys([*table], hashes)
    assert dict(ours) == dict(theirs)
    assert (ours.grouped, ours.no_name) == (theirs.grouped, theirs.no_name)
    assert ours.no_name == [("3.png", column)]
    assert ours["0.png"] == (("group", f"{column}=a"), ("content", "content 0"))
    assert ours["9.png"] == (("id", "9.png"),)


def test_items_by_id_are_read_when_they_are_looked_up():
    table, _ = table_of(Entry(f"{number:05}", metadata={"n": number}) for number in range(MANY))
    some = ItemsById(table, table.ids()).only(f"{number:05}" for number in range(MANY - 1, -1, -2))
    assert list(some) == [item.id for item in some.values()]
    assert [item.metadata["n"] for item in some.values()] == list(range(MANY - 1, -1, -2))
    assert len(some) == (MANY + 1) // 2
    assert some[f"{MANY - 1:05}"].metadata == {"n": MANY - 1}
    other = f"{MANY - 2:05}"
    assert other not in some
    with pytest.raises(KeyError):
        some[other]


def test_metadata_of_many_images_is_put_together_across_parts(tmp_path):
    """Rows of one image that are far from one another, an absent one and one in other letters among them."""
    count = PAGE + 10
    for number in range(count):
        (tmp_path / f"{number:04}.png").write_bytes(bytes([number % 256, number // 256]))
    rows = [{"file_name": f"{number:04}.png", "title": f"thing {number}"} for number in range(count)]
    rows[5]["file_name"], rows[6]["file_name"] = "0005.PNG", "gone.png"
    rows += [{"file_name": "0001.png", "price": 3}, {"file_name": "0002.png", "title": "other"}]
    rows += [{"file_name": "0003.png", "price": 1}, {"file_name": "0003.png", "price": 2}]
    (tmp_path / "metadata.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    catalog = scan(tmp_path)
    items = {item.id: item.metadata for item in catalog.items}
    assert items["0001.png"] == {"title": "thing 1", "price": 3}
    assert items["0002.png"] == {"title": "other"}
    assert items["0003.png"] == {"title": "thing 3", "price": 2}
    assert items["0005.png"] == {"title": "thing 5"}
    assert items["0006.png"] == {}
    assert all(items[f"{number:04}.png"] == {"title": f"thing {number}"} for number in range(7, count))
    here = "metadata.jsonl, line"
    assert list(catalog.remarks) == [
        f"1 file name of metadata spelled differently than on disk, and matched ('0005.PNG' is 0005.png, {here} 6)",
        f"1 row of metadata name images that are absent (gone.png, {here} 7)",
        f"4 rows for an image that has one already, merged column by column (the first: 0001.png, {here} {count + 1})",
        f"2 values of metadata overridden by a later row (the first: title of 0002.png, {here} {count + 2})",
    ]


def test_hashes_of_a_table_are_those_of_its_items(tmp_path):
    for number in range(3):
        (tmp_path / f"{number}.png").write_bytes(bytes([number]))
    items = scan(tmp_path).items
    (tmp_path / "1.png").unlink()
    with Hashes.open(None) as cache:
        found = cache.of(items)
        assert [one.id for one in cache.refused] == ["1.png"]
        assert found == cache.of([*items])
    assert list(found) == ["0.png", "2.png"]
