"""The promise: a stack's sizes, counts and receptive fields are those of the real network; a mistake is a sentence."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import pellucid
from pellucid.errors import ArgumentError, SizeError
from pellucid.geometry import parse
from pellucid.nn import LSTM, ConvBlock

EXAMPLE = "28x28x1 | conv 5 16 p2 | pool 2 | conv 3 32 s2 same | flatten | linear 10"


def test_the_example() -> None:
    rows = parse(EXAMPLE).rows()
    assert [r.output for r in rows] == ["28 x 28 x 16", "14 x 14 x 16", "7 x 7 x 32", "1568", "10"]
    assert [r.parameters for r in rows] == [416, 0, 4640, 0, 15690]
    assert [r.macs for r in rows] == [313_600, 0, 225_792, 0, 15_680]
    assert rows[2].formula == "floor((14 + 0 + 1 - 3)/2) + 1 = 7"
    assert [r.field.size for r in rows if r.field] == [5, 6, 10]
    table = parse(EXAMPLE).table()
    assert "20,746" in table
    assert max(map(len, table.splitlines())) <= 120


@pytest.mark.parametrize(
    ("text", "parameters", "macs"),
    [
        # AlexNet with its two groups (Krizhevsky, Sutskever and Hinton 2012): 60,965,224 parameters.
        (
            "227x227x3 | conv 11 96 s4 | pool 3 s2 | conv 5 256 p2 g2 | pool 3 s2 | conv 3 384 p1 | conv 3 384 p1 g2 | "
            "conv 3 256 p1 g2 | pool 3 s2 | flatten | linear 4096 | linear 4096 | linear 1000",
            60_965_224,
            724_406_816,
        ),
        # VGG-16 (Simonyan and Zisserman 2015, table 2: 138 million parameters).
        (
            "224x224x3 | conv 3 64 p1 | conv 3 64 p1 | pool 2 | conv 3 128 p1 | conv 3 128 p1 | pool 2 | conv 3 256 p1 | "
            "conv 3 256 p1 | conv 3 256 p1 | pool 2 | conv 3 512 p1 | conv 3 512 p1 | conv 3 512 p1 | pool 2 | "
            "conv 3 512 p1 | conv 3 512 p1 | conv 3 512 p1 | pool 2 | flatten | linear 4096 | linear 4096 | linear 1000",
            138_357_544,
            15_470_264_320,
        ),
        # LeNet-5 with full connections between its maps.
        ("32x32x1 | conv 5 6 | avgpool 2 | conv 5 16 | avgpool 2 | conv 5 120 | flatten | linear 84 | linear 10", 61_706, 416_520),
    ],
    ids=["AlexNet", "VGG-16", "LeNet-5"],
)  # fmt: skip
def test_published_networks(text: str, parameters: int, macs: int) -> None:
    rows = parse(text).rows()
    assert sum(r.parameters for r in rows) == parameters
    assert sum(r.macs for r in rows) == macs


@pytest.mark.parametrize(("text", "layer", "inputs"), [
    ("50x12 | lstm 16 bidirectional layers2", nn.LSTM(12, 16, 2, bidirectional=True), 12),
    ("50x12 | gru 16", nn.GRU(12, 16), 12),
    ("50x12 | rnn 16 layers3", nn.RNN(12, 16, 3), 12),
    ("50x12 | lstm 16 proj5 bidirectional layers2", nn.LSTM(12, 16, 2, proj_size=5, bidirectional=True), 12),
])  # fmt: skip
def test_recurrent_counts(text: str, layer: nn.Module, inputs: int) -> None:
    (row,) = parse(text).rows()
    assert row.parameters == sum(p.numel() for p in layer.parameters())
    output, _ = layer(torch.zeros(50, 1, inputs))
    assert row.output == f"50 x {output.shape[-1]}"


def test_what_an_output_sees() -> None:
    """Receptive field, jump and start against the inputs that really have a gradient."""
    net = nn.Sequential(
        nn.Conv2d(1, 2, 5, 1, 2), nn.MaxPool2d(2), nn.Conv2d(2, 2, 3, 2, 1, dilation=2), nn.AvgPool2d(3, 1)
    )
    field = parse("64x64x1 | conv 5 2 p2 | pool 2 | conv 3 2 s2 p1 d2 | avgpool 3 s1").rows()[-1].field
    assert field is not None
    for parameter in net.parameters():
        nn.init.ones_(parameter)
    net[1] = nn.AvgPool2d(2)  # a maximum passes its gradient to one input only
    views = []
    for position in (5, 6):
        x = torch.rand(1, 1, 64, 64, requires_grad=True)
        net(x)[0, 0, position, 5].backward()
        assert x.grad is not None
        rows = x.grad[0, 0].abs().sum(1).nonzero().flatten()
        views.append((int(rows[0]), int(rows[-1])))
    assert views[0][1] - views[0][0] + 1 == field.size
    assert views[1][0] - views[0][0] == field.jump
    assert sum(views[0]) / 2 == field.start + 5 * field.jump


@pytest.mark.parametrize("bidirectional", [False, True])
def test_what_an_output_of_a_recurrent_layer_sees(bidirectional: bool) -> None:
    """All before, or all, as the gradient says, in the text's table and the model's; what follows sees no less."""
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv1d(2, 3, 3, 2, 1),
        Steps(LSTM(3, 4, batch_first=True, bidirectional=bidirectional)),
        nn.Conv1d(4 * (1 + bidirectional), 1, 3),
    )
    x = torch.rand(1, 2, 20, requires_grad=True)
    net(x)[0, 0, 4].backward()  # of positions 4 to 6, which see the input up to row 13
    assert x.grad is not None
    seen = x.grad[0].abs().sum(0).nonzero().flatten().tolist()
    assert seen == list(range(20 if bidirectional else 14))

    both = " bidirectional" * bidirectional
    rows = parse(f"20x2 | conv 3 3 s2 p1 | lstm 4{both} | relu | conv 3 1 | lstm 4 | lstm 4 last").rows()
    reach = "all" if bidirectional else "before"
    assert [r.field and (r.field.size, r.field.jump, r.field.reach) for r in rows] == [
        (3, 2, ""), *[(None, 2, reach)] * 4, None,
    ]  # fmt: skip
    said = "all" if bidirectional else "all before"
    assert [str(r.field) for r in rows[:2]] == ["3", said]

    explained = pellucid.explain(LSTM(12, 16, batch_first=True, bidirectional=bidirectional), (50, 12))
    assert [str(r.field) for r in explained.rows] == [said]
    for table in (str(explained), parse(f"50x12 | lstm 16{both} | linear 3").table()):
        assert f"{said}: " in table
        assert max(map(len, table.splitlines())) <= 120


class Steps(nn.Module):
    """A recurrent layer over (B, I, T)."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layer(x.transpose(1, 2))[0].transpose(1, 2)


def test_explain_says_nothing_of_what_it_cannot_follow() -> None:
    """Pooling to a given size has windows that are not told."""
    net = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(4), nn.ReLU())
    assert [r.field and r.field.size for r in pellucid.explain(net, (1, 12, 12)).rows] == [3, 3, None, None]


@pytest.mark.parametrize(
    ("text", "error", "words"),
    [
        ("8x8x1 | conv 5 16 | conv 5 3", SizeError, r"layer 2 \(conv 5 3\): the height is 4.*height 5 or more"),
        ("28x28x1 | flatten | linear 700 10", SizeError, "write linear 784 10"),
        ("28x28x1 | linear 10", SizeError, "put flatten before it"),
        ("28x28x3 | conv 3 8 g2", SizeError, "cannot be cut into 2 groups"),
        (
            "28x28x1 | conv 3 16 g4",
            SizeError,
            "1 channel and 16 filters cannot be cut into 4 groups; both must be multiples of 4",
        ),
        ("5 | linear 1 | linear 2 3", SizeError, "1 number arrives; write linear 1 3"),
        ("28x28x1 | lstm 4", SizeError, "needs a sequence"),
        (
            "100x12 | flatten | gpool",
            SizeError,
            r"layer 2 \(gpool\): needs an image or a sequence, and gets 1200 features; put it",
        ),
        ("28x28x1 | bn", ArgumentError, "did you mean 'batchnorm'"),
        ("28x28x1 | dense 10", ArgumentError, "did you mean 'linear'"),
        ("28x28x1 | conv 3 4 bn", ArgumentError, "known are same"),
        (
            "5 | linear 0",
            ArgumentError,
            "linear has one number of inputs, and one of outputs, 1 or more, and is given 0",
        ),
        ("5 | linear 3x4", ArgumentError, "is given 3x4"),
        ("5x3 | lstm 4x7", ArgumentError, "lstm has one hidden size, 1 or more, and is given 4x7"),
        ("28x0x1 | relu", ArgumentError, "has a size of 0; give sizes of 1 or more"),
        ("28 28 1 | relu", ArgumentError, "the input comes first"),
        ("28x28x1 | cnov 5 16", ArgumentError, "did you mean 'conv'"),
        ("28x28x1 | conv 5 16 smae", ArgumentError, "did you mean 'same'"),
        ("28x28x1 | conv 5", ArgumentError, "needs a kernel size and a number of filters"),
        ("conv 5 16", ArgumentError, "the input comes first"),
        ("28x28x1 | | pool 2", ArgumentError, "a layer is missing"),
        ("28x28x1 | conv 5 16 s0", ArgumentError, "must be 1 or more"),
    ],
)
def test_mistakes_are_sentences(text: str, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        parse(text).rows()


@pytest.mark.parametrize("given", ["28 x 28 x 1", "28x28 x1", " 28x28x1"])
def test_an_input_may_be_given_as_it_is_printed(given: str) -> None:
    assert parse(f"{given} | conv 3 4").table() == parse("28x28x1 | conv 3 4").table()


def test_a_wrong_word_is_pointed_at() -> None:
    with pytest.raises(ArgumentError) as caught:
        parse("28x28x1 | cnov 5 16")
    _, line, mark = str(caught.value).splitlines()
    assert line[mark.index("^") : mark.rindex("^") + 1] == "cnov"


def test_explain_equals_the_text() -> None:
    net = nn.Sequential(
        pellucid.nn.Conv2d(1, 16, 5, padding=2),
        pellucid.nn.MaxPool2d(2),
        pellucid.nn.Conv2d(16, 32, 3, stride=2, padding="same"),
        nn.Flatten(),
        nn.Linear(1568, 10),
    ).train()
    explained, written = pellucid.explain(net, (1, 28, 28)), parse(EXAMPLE).rows()
    for ours, theirs in zip(explained.rows, written, strict=True):
        assert (ours.output, ours.parameters, ours.macs) == (theirs.output, theirs.parameters, theirs.macs)
    assert [r.formula for r in explained.rows[:3]] == [r.formula for r in written[:3]]
    assert net.training
    assert "floor((28 + 2*2 - 5)/1) + 1 = 28" in str(explained)


def test_explain_recurrent_and_blocks() -> None:
    block = pellucid.explain(ConvBlock(1, 6, 5, padding=2), (1, 28, 28)).rows[0]
    assert (block.output, block.macs) == ("14 x 14 x 6", 28 * 28 * 6 * 25)
    assert block.field is not None
    assert (block.field.size, block.field.jump) == (6, 2)
    lstm = LSTM(12, 16, batch_first=True)
    (row,) = pellucid.explain(lstm, (50, 12)).rows
    assert row.parameters == sum(p.numel() for p in lstm.parameters())
    assert row.macs == 50 * lstm.cell.macs(12, 16)


@pytest.mark.parametrize(
    ("net", "shape", "words"),
    [
        (
            nn.Sequential(nn.Conv2d(1, 4, 3), nn.Flatten(), nn.Linear(100, 2)),
            (1, 8, 8),
            r"2: Linear.*write in_features=144",
        ),
        (nn.Sequential(nn.Conv2d(1, 4, 3), nn.Linear(144, 2)), (1, 8, 8), r"1: Linear.*flatten them first"),
        (nn.Sequential(nn.Conv2d(1, 4, 5), nn.Conv2d(4, 4, 5)), (1, 8, 8), r"1: Conv2d.*height 5 or more"),
        (nn.Sequential(pellucid.nn.Conv2d(3, 4, 3)), (8, 8, 3), r"0: Conv2d"),
    ],
)
def test_explain_names_what_breaks(net: nn.Module, shape: tuple[int, ...], words: str) -> None:
    with pytest.raises(SizeError, match=words):
        pellucid.explain(net, shape)
