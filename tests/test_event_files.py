"""Recordings of event cameras, against decoders of their own that follow the formats' descriptions word by word."""

from __future__ import annotations

import numpy as np
import pytest

from spikeunet.engine import InputError, bin_events, read_events


def write(path, content):
    path.write_bytes(content)
    return path


def words(path, kind):
    """The words behind the header."""
    content = path.read_bytes()
    place = 0
    while content[place : place + 2] == b"% ":
        place = content.index(b"\n", place) + 1
    return np.frombuffer(content[place:], kind).astype(np.int64)


def evt2(path):
    """32 bits: a type of 4, the 6 lower bits of the time, 11 of x and 11 of y; type 8 has the time's higher bits."""
    word = words(path, "<u4")
    kind = word >> 28
    high = np.zeros(len(word), np.int64)
    marks = np.flatnonzero(kind == 8)
    high[marks] = word[marks] & 0xFFFFFFF
    last = np.maximum.accumulate(np.where(kind == 8, np.arange(len(word)), 0))
    times = high[last] << 6 | word >> 22 & 63
    event = kind <= 1
    return np.stack([word >> 11 & 2047, word & 2047, times, kind])[:, event]


def evt3(path):
    """16 bits: a type of 4 bits and what it sets; several pixels of a row come as a vector of bits."""
    events, x, y, polarity, high, low = [], 0, 0, 0, 0, 0
    for word in words(path, "<u2").tolist():
        kind, value = word >> 12, word & 4095
        if kind == 0:
            y = value & 2047
        elif kind == 2:
            events.append((value & 2047, y, high << 12 | low, value >> 11))
        elif kind == 3:
            x, polarity = value & 2047, value >> 11
        elif kind in (4, 5):
            length = 12 if kind == 4 else 8
            events += [(x + bit, y, high << 12 | low, polarity) for bit in range(length) if value >> bit & 1]
            x += length
        elif kind == 6:
            low = value
        elif kind == 8:
            high = value
    return np.array(events).T


def fields(events):
    return np.stack([events[name].astype(np.int64) for name in "xytp"])


def test_evt2(shared_data):
    pytest.importorskip("faery")
    path = shared_data / "events" / "evt2_sample.raw"
    events = read_events(path)
    np.testing.assert_array_equal(fields(events), evt2(path))
    assert len(events) == 539_481


def test_evt3(shared_data):
    """Where the time goes back by some microseconds, as it does in this file, faery holds it."""
    pytest.importorskip("faery")
    path = shared_data / "events" / "evt3_sample.raw"
    found, expected = fields(read_events(path)), evt3(path)
    np.testing.assert_array_equal(np.delete(found, 2, 0), np.delete(expected, 2, 0))
    late = found[2] - expected[2]
    assert late.min() == 0
    assert late.max() < 12
    assert np.count_nonzero(late) < 0.01 * late.size


def test_aedat4(shared_data):
    pytest.importorskip("faery")
    events = read_events(shared_data / "events" / "sample.aedat4")
    assert (len(events), events["x"].max(), events["y"].max()) == (111_954, 319, 239)
    assert events[0].tolist() == (154, 204, 1605537493718345, 0)
    stream = bin_events(events, (2, 240, 320), time_step=1000)
    assert (stream.steps, len(stream.sites) + stream.clipped) == (590, 111_954)


def test_nmnist(shared_data):
    path = shared_data / "events" / "sample_nmnist.bin"
    events = read_events(path)
    content = path.read_bytes()
    for index in (0, 1, 100, 4324):
        x, y, *rest = content[5 * index : 5 * index + 5]
        number = int.from_bytes(rest, "big")
        assert events[index].tolist() == (x, y, number % 2**23, number // 2**23)
    assert len(bin_events(events, (2, 34, 34), time_step=1000, steps=336)) == 336


def test_numpy_files(tmp_path):
    events = np.zeros(4, [("t", "f8"), ("x", "i4"), ("y", "i4"), ("p", "?")])
    events["t"] = np.arange(4) / 8
    np.save(tmp_path / "events.npy", events)
    np.savez_compressed(tmp_path / "one.npz", events=events)
    np.savez(tmp_path / "four.npz", **{name: events[name] for name in "xytp"})
    for name in ("events.npy", "one.npz", "four.npz"):
        found = read_events(tmp_path / name)
        np.testing.assert_array_equal(found[list("txyp")], events)


@pytest.fixture
def hdf5(tmp_path):
    """Writes an HDF5 file."""
    h5py = pytest.importorskip("h5py")

    def make(name, write):
        with h5py.File(tmp_path / name, "w") as file:
            write(file)
        return tmp_path / name

    return make


def some_events(count=50):
    events = np.zeros(count, [("t", "i8"), ("x", "u2"), ("y", "u2"), ("p", "?")])
    for name in "txyp":
        events[name] = np.arange(count) % (2 if name == "p" else 7)
    return events


@pytest.mark.parametrize("suffix", ["", "s"])
def test_hdf5_files(suffix, hdf5):
    events = some_events()

    def four(file):
        for name in "xytp":
            file.create_dataset(f"events/{name}{suffix}", data=events[name], compression="gzip", shuffle=True)
        file["ms_to_idx"] = np.arange(3)

    grouped = hdf5("grouped.h5", four)
    whole = hdf5("whole.hdf5", lambda file: file.create_dataset("CD/events", data=events))
    for path in (grouped, whole):
        np.testing.assert_array_equal(read_events(path)[list("txyp")], events)


def test_hdf5_files_that_are_refused(hdf5, tmp_path):
    h5py = pytest.importorskip("h5py")
    events = some_events()
    (tmp_path / "noise.h5").write_bytes(bytes(range(256)))
    hdf5("none.h5", lambda file: file.create_dataset("a", data=np.zeros(3)))
    hdf5("two.h5", lambda file: [file.create_dataset(name, data=events) for name in "ab"])
    hdf5("link.h5", lambda file: file.update(events=h5py.ExternalLink("whole.hdf5", "events")))
    hdf5("huge.h5", lambda file: file.create_dataset("e", (1 << 40,), events.dtype, chunks=(1 << 10,)))
    hdf5("uneven.h5", lambda file: file.update(x=np.zeros(3), y=np.zeros(3), t=np.zeros(2), p=np.zeros(3)))
    hdf5("two_axes.h5", lambda file: file.create_dataset("events", data=events.reshape(5, 10)))

    def external(file):
        file.create_dataset("events", (4,), events.dtype, external=[("/etc/hostname", 0, 100)])

    hdf5("external.h5", external)

    def unknown_filter(file):
        kept = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        kept.set_chunk((10,))
        kept.set_filter(32001, h5py.h5z.FLAG_OPTIONAL, ())
        space, kind = h5py.h5s.create_simple((50,)), h5py.h5t.py_create(events.dtype)
        h5py.h5d.create(file.id, b"events", kind, space, kept)

    hdf5("blosc.h5", unknown_filter)
    for name, message in (
        ("noise", "is truncated or damaged"),
        ("none", "must hold one array with the fields x, y, t and p, .*got 0 of these among a"),
        ("two", "got 2 of these among a, b"),
        ("link", "'events', a link, which is not followed"),
        ("huge", "declares more bytes than a file of"),
        ("uneven", "of one length"),
        ("two_axes", r"structured array of one axis .*shape \(5, 10\)"),
        ("external", "lie in another file"),
        ("blosc", "compressed by a plug-in, filter 32001, and none is loaded; rewrite the file with h5repack"),
    ):
        with pytest.raises(InputError, match=message) as caught:
            read_events(tmp_path / f"{name}.h5")
        assert "\n" not in str(caught.value)


def test_hdf5_files_with_texts_among_the_numbers_or_a_heap_that_never_ends(hdf5, tmp_path):
    """libhdf5 would walk such a heap for ever."""
    h5py = pytest.importorskip("h5py")
    texts = np.zeros(3, [("x", "u2"), ("y", "u2"), ("t", "i8"), ("p", "u1"), ("note", h5py.string_dtype())])
    texts["note"] = "a note"
    path = hdf5("texts.h5", lambda file: file.create_dataset("events", data=texts))
    with pytest.raises(InputError, match="'events' has no numbers, or texts among them"):
        read_events(path)

    def noted(file):
        file.create_dataset("events", data=some_events())
        file["note"] = np.array(["a note"], h5py.string_dtype())

    content = hdf5("noted.h5", noted).read_bytes()
    assert len(read_events(tmp_path / "noted.h5")) == 50
    heap = content.index(b"GCOL\x01")
    place = heap + 16
    while content[place : place + 2] != b"\0\0":
        place += 16 + -(-int.from_bytes(content[place + 8 : place + 16], "little") // 8) * 8
    broken = content[: place + 8] + bytes(8) + content[place + 16 :]
    with pytest.raises(InputError, match=r"truncated or damaged .*a heap of texts that has no end"):
        read_events(write(tmp_path / "broken.h5", broken))


def test_files_that_are_refused(tmp_path, shared_data):
    pytest.importorskip("faery")
    samples = shared_data / "events"
    evt3_file, aedat = (samples / "evt3_sample.raw").read_bytes(), (samples / "sample.aedat4").read_bytes()
    np.save(tmp_path / "plain.npy", np.zeros((3, 4)))
    np.savez(tmp_path / "other.npz", a=np.zeros(3), b=np.zeros(3))
    np.savez(tmp_path / "uneven.npz", x=np.zeros(3), y=np.zeros(3), t=np.zeros(2), p=np.zeros(3))
    structured = np.zeros(99, [(name, "i8") for name in "xytp"])
    np.save(tmp_path / "whole.npy", structured)
    np.savez(tmp_path / "whole.npz", structured)
    np.save(tmp_path / "object.npy", np.array([{}], object), allow_pickle=True)
    files = {
        "cut.bin": (b"1234567", "has 7 bytes, no multiple of the 5"),
        "empty.bin": (b"", "has 0 bytes"),
        "cut.raw": (evt3_file[:50_001], "no multiple of the 2 of EVT3: it is truncated"),
        "noise.raw": (bytes(range(256)), "names no format EVT2 or EVT3 in its header"),
        "four.raw": (b"% evt 4.0\n1234", "names no format EVT2 or EVT3 in its header"),
        "silent.raw": (b"% evt 3.0\n\x00\x80", "holds no events"),
        "cut.aedat4": (aedat[: len(aedat) // 2], "is truncated, damaged or of another kind"),
        "cut.npy": ((tmp_path / "whole.npy").read_bytes()[:500], "is truncated or damaged"),
        "noise.npy": (bytes(range(256)), "is truncated or damaged"),
        "cut.npz": ((tmp_path / "whole.npz").read_bytes()[:500], "is truncated or damaged"),
        "events.txt": (b"1 2 3", "is of no kind that is read"),
    }
    for name, (content, message) in files.items():
        path = write(tmp_path / name, content)
        with pytest.raises(InputError, match=message) as caught:
            read_events(path)
        assert "\n" not in str(caught.value)
    for name, message in (
        ("plain.npy", r"fields x, y, t and p \(got float64, shape \(3, 4\)\)"),
        ("other.npz", r"arrays x, y, t and p \(got a, b\)"),
        ("uneven.npz", "of one length"),
        ("object.npy", "is truncated or damaged"),
        ("none.bin", "no such file"),
    ):
        with pytest.raises(InputError, match=message):
            read_events(tmp_path / name)


def test_damage_ends_no_process(tmp_path, shared_data):
    """This one has faery 0.7.1 crash."""
    pytest.importorskip("faery")
    content = bytearray((shared_data / "events" / "sample.aedat4").read_bytes()[:40_000])
    content[1298] ^= 128
    with pytest.raises(InputError, match=r"is truncated, damaged or of another kind \([^\n]+\); "):
        read_events(write(tmp_path / "events.aedat4", bytes(content)))
