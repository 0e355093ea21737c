"""A damaged or forged pack is refused in one sentence, before memory is allocated for its claimed sizes."""

import io
import json
import random
import tracemalloc
import zipfile

import numpy as np
import onnx
import pytest
import tiny_models
from corrupt import corrupted

from rtmri_speech.errors import UserError
from rtmri_speech.pack.format import DESCRIPTION, GRAPHS, digests
from rtmri_speech.pack.speak import load_pack

pytestmark = pytest.mark.slow

COUNT, SEED = 500, 5
FRAMES = tiny_models.moving_bar(3)


@pytest.fixture(scope="module")
def pack(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pack")
    return tiny_models.write_pack(folder)


def members(pack):
    with zipfile.ZipFile(pack) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def zipped(named, method=zipfile.ZIP_STORED):
    """The bytes of a zip of (name, content)."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        for name, content in named:
            archive.writestr(name, content)
    return out.getvalue()


def described(content, **changed):
    """A pack's members with other settings in the description."""
    about = json.loads(content[DESCRIPTION])
    return {**content, DESCRIPTION: json.dumps({**about, **changed}).encode()}


def with_graph(content, name, graph):
    """Members of a pack with another graph and its matching hash."""
    graphs = {**json.loads(content[DESCRIPTION])["graphs"], **digests({name: graph})}
    return {**described(content, graphs=graphs), name: graph}


# ---- what is done to a pack: content and random numbers to the bytes of a file ----


def other_members(content, rng):
    name = rng.choice(list(content))
    wrong = [f"../{name}", f"/tmp/{name}", f"..\\{name}", f"sub/{name}", name.upper(), "x" * 5000]
    changes = {
        "renamed": lambda: [(rng.choice(wrong) if n == name else n, c) for n, c in content.items()],
        "one more": lambda: [*content.items(), (rng.choice([*wrong, "evil.pkl"]), b"x")],
        "one less": lambda: [(n, c) for n, c in content.items() if n != name],
        "exchanged": lambda: zip(content, rng.sample(list(content.values()), len(content)), strict=True),
    }
    changed = list(changes[rng.choice(list(changes))]())
    return None if changed == list(content.items()) else zipped(changed)


def compressed(content, rng):
    bomb = {**content, rng.choice(GRAPHS): bytes(1 << 20)}
    return zipped(bomb.items(), rng.choice((zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)))


def another_version(content, rng):
    return zipped(described(content, version=rng.choice((0, 1, 3, -1, 10**30, "1", None, True, 1.5, [1]))).items())


HUGE = (10**6, 2**31, 2**40, 2**63, 10**30, 1e300, -1, 0)


def other_description(content, rng):
    about = json.loads(content[DESCRIPTION])
    name = rng.choice([name for name in about if name not in ("scores", "models", "trainings", "version")])
    odd = (None, True, [], {}, "", "no such", 1.5, [[]], *HUGE)
    how = rng.choice(("missing", "odd", "inside", "unknown", "twice as deep"))
    if how == "missing":
        del about[name]
    elif how == "odd" or (how == "inside" and not isinstance(about[name], dict | list)):
        value = rng.choice(odd)
        if name in ("licence", "speaker", "consent"):
            value = rng.choice((None, 3, ["x"], "x" * 3000))
        about[name] = value
    elif how == "inside":
        key = rng.choice(list(about[name]) if isinstance(about[name], dict) else range(len(about[name])))
        about[name][key] = rng.choice([value for value in odd if value not in ("", 0)])
    elif how == "unknown":
        about[rng.choice(("code", "__class__", "vocoder2"))] = rng.choice(odd)
    else:
        about[name] = [about[name]]
    if about == json.loads(content[DESCRIPTION]):
        return None
    return zipped({**content, DESCRIPTION: json.dumps(about).encode()}.items())


def no_description(content, rng):
    text = rng.choice((b"", b"{", b"[]", b"null", b"\xff\xfe", b"[" * 100_000, b'{"version": NaN}', bytes(2 << 20)))
    return zipped({**content, DESCRIPTION: text}.items())


def other_graph(content, rng):
    """A damaged graph with its matching hash."""
    name = rng.choice(GRAPHS)
    damage = rng.choice(("cut", "noise", "of another", "huge"))
    graph = content[name]
    if damage == "cut":
        graph = graph[: rng.randrange(len(graph))]
    elif damage == "noise":
        place = rng.randrange(40)
        graph = graph[:place] + rng.randbytes(40) + graph[place + 40 :]
    elif damage == "of another":
        graph = content[rng.choice([other for other in GRAPHS if other != name])]
    else:
        graph = b"\x3a\xff\xff\xff\xff\xff\xff\xff\xff\x7f" + graph
    return zipped(with_graph(content, name, graph).items())


def forged_graph(content, rng):
    name = rng.choice(GRAPHS)
    model = onnx.load_from_string(content[name])
    graph, tensor = model.graph, model.graph.initializer[rng.randrange(len(model.graph.initializer))]
    forgery = rng.choice(("dims", "type", "other file", "maker", "function", "input", "output", "no output", "nested"))
    if forgery == "dims":
        tensor.dims[:] = rng.choice(([2**40], [2**31, 2**31], [2**62, 4], [-1], [*tensor.dims, 3], [0]))
    elif forgery == "type":
        tensor.data_type = rng.choice((0, 8, 11, 14, 99))
    elif forgery == "other file":
        tensor.data_location = onnx.TensorProto.EXTERNAL
        tensor.ClearField("raw_data")
        tensor.external_data.add(key="location", value=rng.choice(("../secret", "/etc/passwd")))
    elif forgery == "maker":
        graph.node[0].domain = "com.evil"
    elif forgery == "function":
        model.functions.add(name="f", domain="com.evil")
    elif forgery in ("input", "output"):
        port = (graph.input if forgery == "input" else graph.output)[0].type.tensor_type
        if rng.random() < 0.5:
            port.elem_type = onnx.TensorProto.INT64
        else:
            port.shape.dim[-1].dim_value = rng.choice((1 << 40, 7, -1))
    elif forgery == "no output":
        del graph.output[:]
    else:
        graph.node[0].attribute.add(name="body", type=onnx.AttributeProto.GRAPH).g.CopyFrom(onnx.GraphProto())
    return zipped(with_graph(content, name, model.SerializeToString()).items())


MUTATIONS = (
    other_members,
    compressed,
    another_version,
    other_description,
    other_description,
    no_description,
    other_graph,
    forged_graph,
    forged_graph,
)


def outcome(path):
    """The error message of a pack, or its speech."""
    tracemalloc.start()
    try:
        return load_pack(path, threads=1).speech(FRAMES)
    except UserError as refusal:
        return str(refusal)
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 20 * (1 << 20)


def assert_a_sentence(said, path, what):
    assert isinstance(said, str), f"{what}: accepted"
    assert path.name in said and "\n" not in said and said.endswith("."), f"{what}: {said}"


def test_a_forged_pack_is_refused_in_one_sentence(pack, tmp_path):
    content, rng, refused = members(pack), random.Random(SEED), 0
    path = tmp_path / "forged.pack"
    while refused < COUNT:
        mutation = rng.choice(MUTATIONS)
        data = mutation(content, rng)
        if data is None:
            continue
        path.write_bytes(data)
        assert_a_sentence(outcome(path), path, mutation.__name__)
        refused += 1


def test_a_damaged_pack_is_refused_or_gives_the_same_speech(pack, tmp_path):
    whole, data, rng = outcome(pack), pack.read_bytes(), random.Random(SEED)
    path, refused = tmp_path / "damaged.pack", 0
    for _ in range(200):
        damage, damaged = corrupted(data, rng)
        path.write_bytes(damaged)
        said = outcome(path)
        if isinstance(said, str):
            assert_a_sentence(said, path, damage)
            refused += 1
        else:
            # The date of a member, say, is nobody's.
            np.testing.assert_array_equal(said.mel_db, whole.mel_db)
            np.testing.assert_array_equal(said.audio["vocoder"], whole.audio["vocoder"])
    assert refused > 150


def test_the_harness_accepts_an_undamaged_pack(pack, tmp_path):
    (tmp_path / "copy.pack").write_bytes(zipped(members(pack).items()))
    assert not isinstance(outcome(tmp_path / "copy.pack"), str)


def test_a_failing_computation_ends_in_one_sentence(pack, tmp_path):
    """An operator that asks for more memory than there is, in a graph of the right ports."""
    content = members(pack)
    model = onnx.load_from_string(content["recurrence.onnx"])
    huge = onnx.numpy_helper.from_array(np.array([2**20, 2**20, 2**15, 1], np.int64), "huge")
    model.graph.initializer.append(huge)
    last = model.graph.node[-1]
    last.output[0] = "before"
    model.graph.node.append(onnx.helper.make_node("Expand", ["before", "huge"], ["wide"]))
    model.graph.node.append(onnx.helper.make_node("ReduceSum", ["wide"], ["sum"], keepdims=0))
    model.graph.node.append(onnx.helper.make_node("Mul", ["before", "sum"], ["mel"]))
    path = tmp_path / "huge.pack"
    path.write_bytes(zipped(with_graph(content, "recurrence.onnx", model.SerializeToString()).items()))
    assert_a_sentence(outcome(path), path, "huge")
