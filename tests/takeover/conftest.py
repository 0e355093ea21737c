"""A small lab machine, built once and copied for each fault to plant."""

import os
import shutil

import pytest
from lab_tree import LabTree, build_lab_tree


@pytest.fixture(scope="session")
def small_lab(tmp_path_factory) -> LabTree:
    """A lab's tree of small pictures; not to be changed."""
    return build_lab_tree(tmp_path_factory.mktemp("lab") / "機械", clips=6, frames=(16, 24), size=(32, 32))


@pytest.fixture
def lab(small_lab, tmp_path) -> LabTree:
    """A copy of `small_lab` to modify; the large checkpoint is a link: replace it, never write to it."""

    def copied(source, target):
        (os.link if source.endswith(".pt") else shutil.copy2)(source, target)

    root = tmp_path / "機械"
    shutil.copytree(small_lab.root, root, copy_function=copied)
    return LabTree(root, small_lab.mri, small_lab.mel_db, small_lab.audio, small_lab.scaler)
