"""Fixed numbers are brought to a device once, in a form that autograd may keep."""
import torch


def test_a_table_is_made_once_for_each_dtype_and_takes_part_in_gradients(pack):
    constant = pack.kernels.constants.constant
    like = torch.ones(2, requires_grad=True)
    with torch.inference_mode():
        table = constant(((1.0, 2.0), (3.0, 4.0)), like)
    assert table is constant(((1.0, 2.0), (3.0, 4.0)), like) and table.tolist() == [[1, 2], [3, 4]]
    assert constant(((1.0, 2.0), (3.0, 4.0)), like.double()).dtype == torch.float64
    (table @ like).sum().backward()
    assert like.grad.tolist() == [4, 6]
