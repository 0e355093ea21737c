"""Made once, copied for each test: the dataset of a tiny corpus."""

import pytest
from workflow_checkout import Checkout, tiny_checkout


@pytest.fixture(scope="session")
def made_dataset(tmp_path_factory) -> Checkout:
    """A checkout with a finished dataset; its path has Japanese characters and a space. Copy it before changes."""
    checkout = tiny_checkout(tmp_path_factory.mktemp("base") / "山根 研究用")
    checkout.make("dataset")
    return checkout


@pytest.fixture
def checkout(made_dataset, tmp_path) -> Checkout:
    """A modifiable copy of the checkout with the finished dataset; file times are kept."""
    return made_dataset.copy(tmp_path / "作業 copy")
