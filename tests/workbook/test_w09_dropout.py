"""Workbook 09: what its references say of lrlab's and torch's layers."""

import torch
from torch import nn

from lrlab.dropout import DropConnect
from lrlab.workbook import books

QUESTIONS = {question.name: question for question in books.questions("09_dropout")}


def test_dropconnect_is_the_layer_of_lrlab_under_the_same_mask():
    torch.manual_seed(0)
    layer = DropConnect(6, 4, p=0.3).double()
    unit_by_unit = torch.cat([torch.zeros(1, 6), torch.eye(6), torch.ones(2, 6)]).double()
    with torch.no_grad():
        out = layer(unit_by_unit)
        went = (out[1:7] - out[0]).T == 0  # [outputs, units]: the weights that were dropped this time
        u = torch.where(went, 0.1, 0.9)
        ours = QUESTIONS["dropconnect"].answer(unit_by_unit, layer.weight, layer.bias, u, 0.3)
    assert went.any() and not went.all() and torch.allclose(ours, out)


def test_spatial_dropout_is_that_of_torch_under_the_same_mask():
    torch.manual_seed(0)
    x = torch.rand(3, 5, 2, 2, dtype=torch.float64) + 1
    out = nn.Dropout2d(0.4)(x)
    went = (out == 0).all(dim=(2, 3))
    assert went.any() and not went.all()
    assert torch.allclose(QUESTIONS["spatial_dropout"].answer(x, torch.where(went, 0.1, 0.9), 0.4), out)


def test_what_goes_into_torch_says_the_same_at_inference_and_under_each_mask():
    W, b, h = torch.rand(2, 3), torch.rand(2), torch.rand(3)
    p, new_W, new_b = QUESTIONS["to_torch"].answer(W, b, 0.8)
    assert torch.allclose(new_W @ h + new_b, W @ (0.8 * h) + b)  # the lecture's form scales at inference
    mask = torch.tensor([1.0, 0.0, 1.0])
    assert torch.allclose(new_W @ (mask * h / (1 - p)) + new_b, W @ (mask * h) + b)
